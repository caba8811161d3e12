//! Chat templates: messages to a prompt, as the model was trained to read it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value, context};

use super::tokenizer::TokenText;
use crate::inference::encoder::LoadError;
use crate::inference::{InferenceError, Message};

/// For models that bring none.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Most instructions of a template.
const FUEL: u64 = 10_000_000;

/// Where the private use area begins: what stands for a control token's text within a message.
const STANDS_FOR: u32 = 0xF_0000;

/// A model's chat template.
pub struct Template {
    environment: Environment<'static>,
    marks: [String; 2],
}

impl Template {
    /// A Jinja template; none: ChatML, which most small models were trained on.
    ///
    /// Errors: it is no template, and why.
    pub fn new(source: Option<String>, marks: [String; 2]) -> Result<Self, LoadError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment
            .set_syntax(syntax.map_err(|error| LoadError::Unsupported(format!("its chat template: {error:#}")))?);
        // A template is text from a file: it may not run for ever.
        environment.set_recursion_limit(50);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |_: String| String::new());
        let added = environment.add_template_owned("chat", source.unwrap_or_else(|| CHATML.to_owned()));
        added.map_err(|error| LoadError::Unsupported(format!("its chat template: {error:#}")))?;
        Ok(Self { environment, marks })
    }

    /// The tokens of a conversation, up to where the assistant begins to speak.
    ///
    /// A control token's text in a message stays text.
    ///
    /// Errors: `BadInput` with what the template does not take, such as a role.
    pub fn tokens(
        &self,
        tokenizer: &TokenText,
        messages: &[Message],
        tools: &[serde_json::Value],
    ) -> Result<Vec<u32>, InferenceError> {
        let guard = Guard { control: tokenizer.control_texts().map(str::to_owned).collect() };
        let guarded: Vec<Message> = messages
            .iter()
            .map(|message| Message { content: guard.hide(&message.content), ..message.clone() })
            .collect();
        let tools = (!tools.is_empty()).then_some(tools);
        let [bos_token, eos_token] = &self.marks;
        let given = context! { messages => Serde(guarded), tools => tools.map(Serde), add_generation_prompt => true, bos_token, eos_token };
        let refused = |error: Error| {
            let why = error.detail().unwrap_or("it failed").to_owned();
            InferenceError::BadInput(format!("the model's chat template does not take these messages: {why}"))
        };
        let prompt = self.environment.get_template("chat").and_then(|chat| chat.render(given)).map_err(refused)?;
        let tokens = tokenizer.prompt(&prompt, |text| guard.show(text));
        tokens.map_err(|error| InferenceError::BadInput(format!("the messages cannot be tokenised: {error}")))
    }
}

/// Replaces the texts of control tokens in messages, and puts them back as plain text.
struct Guard {
    control: Vec<String>,
}

impl Guard {
    fn hide(&self, text: &str) -> String {
        // Private characters in a message could be taken for ours.
        let mut text: String = text.chars().filter(|c| !is_private(*c)).collect();
        for (n, control) in (STANDS_FOR..).zip(&self.control) {
            if text.contains(control.as_str())
                && let Some(stands) = char::from_u32(n)
            {
                text = text.replace(control.as_str(), &stands.to_string());
            }
        }
        text
    }

    fn show(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for c in text.chars() {
            let stands = (c as u32).checked_sub(STANDS_FOR).filter(|_| is_private(c));
            match stands.and_then(|n| self.control.get(n as usize)) {
                Some(control) => shown.push_str(control),
                None => shown.push(c),
            }
        }
        shown
    }
}

fn is_private(c: char) -> bool {
    (STANDS_FOR..STANDS_FOR + 0xFFFE).contains(&(c as u32))
}
