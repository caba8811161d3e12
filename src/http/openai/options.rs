//! How a text is to be written: the fields that chats and completions have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Call;
use super::fields::{Fields, wrong};
use super::refusal::Refusal;
use crate::http::places::Place;
use crate::inference::{Constraint, GenerateOptions};

pub const MAX_TOKENS: usize = 1_000_000;
const MAX_STOPS: usize = 4;
const MAX_STOP_BYTES: usize = 1000;
const MAX_BIASES: usize = 1024;
const MAX_TOP_K: usize = 1_000_000;
/// For the price of a text whose length is left to the model.
const TOKENS_UNLESS_SAID: usize = 1000;
/// A token that is written takes about as long as many that are read.
const TOKEN_PRICE: u64 = 10;

/// Errors: what is of the wrong type, out of bounds, or cannot be had.
pub fn read(fields: &mut Fields) -> Result<GenerateOptions, Refusal> {
    for name in ["n", "best_of"] {
        if fields.integer(name, 1..=usize::MAX)?.is_some_and(|count| count > 1) {
            let message = format!("`{name}` is more than 1: one answer is written at a time, so ask again for another");
            return Err(Refusal::invalid(name, message));
        }
    }
    let defaults = GenerateOptions::default();
    let max_tokens = fields.integer("max_tokens", 1..=MAX_TOKENS)?;
    let max_tokens = fields.integer("max_completion_tokens", 1..=MAX_TOKENS)?.or(max_tokens);
    Ok(GenerateOptions {
        max_tokens,
        temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(defaults.temperature),
        top_p: fields.number("top_p", 0.0..=1.0)?.unwrap_or(defaults.top_p),
        top_k: fields.integer("top_k", 0..=MAX_TOP_K)?.unwrap_or(defaults.top_k),
        min_p: fields.number("min_p", 0.0..=1.0)?.unwrap_or(defaults.min_p),
        repetition_penalty: fields.number("repetition_penalty", 0.1..=10.0)?.unwrap_or(defaults.repetition_penalty),
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(defaults.frequency_penalty),
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(defaults.presence_penalty),
        seed: seed(fields)?,
        stop: stop(fields)?,
        logprobs: None,
        logit_bias: logit_bias(fields)?,
        constraint: None,
    })
}

/// What writing costs, in points of the rate limit.
pub fn price(options: &GenerateOptions) -> u64 {
    TOKEN_PRICE * options.max_tokens.unwrap_or(TOKENS_UNLESS_SAID) as u64
}

/// How the text is told.
pub struct Streaming {
    pub wanted: bool,
    pub include_usage: bool,
}

impl Streaming {
    pub fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let wanted = fields.flag("stream")?;
        let include_usage = match fields.object("stream_options")? {
            Some(_) if !wanted => {
                let message = "`stream_options` is for streams: send `stream` too, or leave it out";
                return Err(Refusal::invalid("stream_options", message));
            }
            Some(mut options) => options.flag("include_usage")?,
            None => false,
        };
        Ok(Self { wanted, include_usage })
    }

    /// A place among the streams, if there is to be one.
    ///
    /// Errors: too many are open, or too many from this address.
    pub fn place(&self, call: &Call) -> Result<Option<Place>, Refusal> {
        Ok(self.wanted.then(|| call.state.subscribers.take(call.address)).transpose()?)
    }
}

/// `response_format`: what the text has to be.
pub fn constraint(fields: &mut Fields) -> Result<Option<Constraint>, Refusal> {
    let Some(format) = fields.object("response_format")? else { return Ok(None) };
    form(format, |mut format| {
        let named = format.object("json_schema")?;
        format.required("json_schema", named)
    })
}

/// What a format says; `holder` gives the object that holds the schema.
pub fn form(
    mut format: Fields,
    holder: impl FnOnce(Fields) -> Result<Fields, Refusal>,
) -> Result<Option<Constraint>, Refusal> {
    match format.required_text("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Constraint::JsonObject)),
        "json_schema" => {
            let mut holder = holder(format)?;
            match holder.take("schema") {
                Some(schema @ Value::Object(_)) => Ok(Some(Constraint::JsonSchema(schema))),
                Some(other) => Err(wrong(&holder.name("schema"), &other, "a JSON schema")),
                None => holder.required("schema", None),
            }
        }
        other => {
            let expected = "text, json_object or json_schema";
            Err(wrong(&format.name("type"), &json!(other), expected))
        }
    }
}

/// Negative ones are seeds like others.
fn seed(fields: &mut Fields) -> Result<Option<u64>, Refusal> {
    let Some(value) = fields.take("seed") else { return Ok(None) };
    let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.map(Some).ok_or_else(|| wrong("seed", &value, "a whole number of 64 bits"))
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let stop = fields.texts("stop", MAX_STOPS)?.unwrap_or_default();
    if stop.iter().any(|text| text.is_empty() || text.len() > MAX_STOP_BYTES) {
        let message = format!("a text in `stop` is empty, or longer than {MAX_STOP_BYTES} bytes");
        return Err(Refusal::invalid("stop", message));
    }
    Ok(stop)
}

fn logit_bias(fields: &mut Fields) -> Result<BTreeMap<u32, f32>, Refusal> {
    let map = match fields.take("logit_bias") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) if map.len() <= MAX_BIASES => map,
        Some(other) => {
            let expected = format!("an object of at most {MAX_BIASES} tokens and their biases");
            return Err(wrong("logit_bias", &other, &expected));
        }
    };
    let each = |(token, bias): (String, Value)| {
        let at = format!("logit_bias.{}", token.chars().take(20).collect::<String>());
        let Ok(id) = token.parse() else {
            let message = format!("`{at}` is no token: expected the number of one, as text");
            return Err(Refusal::invalid(at, message));
        };
        match bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias)) {
            Some(bias) => Ok((id, bias as f32)),
            None => Err(wrong(&at, &bias, "a number from -100 to 100")),
        }
    };
    map.into_iter().map(each).collect()
}
