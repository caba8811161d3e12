//! Text that has to be of a form: which tokens may come next, after what was written.

use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::tokenizer::TokenText;
use crate::inference::encoder::LoadError;
use crate::inference::{Constraint, InferenceError};

/// Longest schema, in bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
const MAX_CHOICES: usize = 1000;

/// Makes a [`Form`] for each text.
pub struct Forms {
    factory: ParserFactory,
}

impl Forms {
    pub fn new(tokenizer: &TokenText) -> Result<Self, LoadError> {
        let wrong = |error: &dyn std::fmt::Display| LoadError::Unsupported(format!("its vocabulary: {error}"));
        let tokens = u32::try_from(tokenizer.vocabulary()).map_err(|error| wrong(&error))?;
        let words: Vec<Vec<u8>> = (0..tokens)
            .map(|token| match tokenizer.is_control(token) {
                true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokenizer.bytes(token)].concat(),
                false => tokenizer.bytes(token).to_vec(),
            })
            .collect();
        let eos = tokenizer.eos().ok_or_else(|| wrong(&"it has no token that ends a text"))?;
        let trie = TokTrie::from(&TokRxInfo::new(tokens, eos), &words);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &[]).map_err(|e| wrong(&e))?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits { verbose_errors: false, ..ParserLimits::default() };
        Ok(Self { factory })
    }

    /// The form of one text.
    ///
    /// Errors: `BadInput` with what is wrong with a schema.
    pub fn form(&self, constraint: &Constraint) -> Result<Form, InferenceError> {
        let refused = |why: String| InferenceError::BadInput(format!("the text cannot be held to this form: {why}"));
        let grammar = match constraint {
            Constraint::JsonObject => TopLevelGrammar::from_json_schema(compact(json!({ "type": "object" }))),
            Constraint::JsonSchema(schema) => {
                let bytes = schema.to_string().len();
                if bytes > MAX_SCHEMA_BYTES {
                    return Err(refused(format!("the schema has {bytes} bytes, and {MAX_SCHEMA_BYTES} are allowed")));
                }
                TopLevelGrammar::from_json_schema(compact(schema.clone()))
            }
            Constraint::Choices(choices) => {
                if choices.is_empty() || choices.len() > MAX_CHOICES || choices.iter().any(String::is_empty) {
                    return Err(refused(format!("expected 1 to {MAX_CHOICES} choices, none of them empty")));
                }
                let all: Vec<_> = choices.iter().map(|choice| Value::from(choice.as_str()).to_string()).collect();
                TopLevelGrammar::from_lark(format!("start: {}", all.join(" | ")))
            }
        };
        let parser = self.factory.create_parser(grammar).map_err(|error| refused(first_line(&error.to_string())))?;
        Ok(Form { matcher: Matcher::new(Ok(parser)) })
    }
}

/// Without room for blanks: a small model would write them for ever.
fn compact(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        let how = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
        fields.insert("x-guidance".to_owned(), how);
    }
    schema
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

/// Where a text stands in its form.
pub struct Form {
    matcher: Matcher,
}

impl Form {
    /// The tokens that may come next.
    pub fn allowed(&mut self) -> Result<SimpleVob, String> {
        self.matcher.compute_mask_or_eos().map_err(|error| first_line(&error.to_string()))
    }

    /// Takes a token that was allowed.
    pub fn take(&mut self, token: u32) -> Result<(), String> {
        self.matcher.consume_token(token).map_err(|error| first_line(&error.to_string()))
    }

    /// The text is whole, and nothing can come after it.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped()
    }
}
