//! `POST /v1/embeddings`.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::fields::{self, Fields};
use super::refusal::Refusal;
use super::{Call, Wish, price_of};
use crate::inference::{EmbedRequest, Overlong, Priority, TextKind};

/// As many as OpenAI takes.
const MAX_INPUTS: usize = 2048;
const MAX_DIMENSIONS: usize = 65_536;

pub struct Embed {
    model: Option<String>,
    request: EmbedRequest,
    base64: bool,
}

impl Wish for Embed {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        let model = fields.model()?;
        let texts = fields.texts("input", MAX_INPUTS)?;
        let texts = fields.required("input", texts)?;
        if texts.is_empty() || texts.iter().any(String::is_empty) {
            return Err(Refusal::invalid("input", "`input` is empty, or holds an empty text: send texts"));
        }
        let base64 = match fields.text("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => return Err(fields::wrong("encoding_format", &json!(other), "float or base64")),
        };
        let request = EmbedRequest {
            texts,
            kind: kind(&mut fields)?,
            dimensions: fields.integer("dimensions", 1..=MAX_DIMENSIONS)?,
            overlong: if fields.flag("truncate")? { Overlong::Cut } else { Overlong::Refuse },
            priority: Priority::Reader,
        };
        Ok(Self { model, request, base64 })
    }

    fn cost(&self) -> u64 {
        price_of(&self.request.texts)
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let engine = &call.state.services.engine;
        let asking = async {
            let asked = engine.embed(self.model.as_deref(), self.request).await;
            asked.map_err(|error| Refusal::of_model(error, "input"))
        };
        let found = call.in_time(asking).await?;
        call.note(found.prompt_tokens, 0).await;
        let vector =
            |vector: Vec<f32>| if self.base64 { Vector::Base64(packed(&vector)) } else { Vector::Floats(vector) };
        let data = found.vectors.into_iter().map(vector).enumerate();
        let answer = Answer {
            object: "list",
            data: data.map(|(index, embedding)| Embedding { object: "embedding", index, embedding }).collect(),
            model: found.model,
            usage: json!({ "prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens }),
            degraded: found.degraded,
        };
        Ok(axum::Json(answer).into_response())
    }
}

/// OpenAI's API has no word for what a text is for, and some models are trained to know it. The
/// names are Cohere's and NVIDIA's.
fn kind(fields: &mut Fields) -> Result<TextKind, Refusal> {
    match fields.text("input_type")?.as_deref() {
        None | Some("passage" | "document" | "search_document") => Ok(TextKind::Passage),
        Some("query" | "search_query") => Ok(TextKind::Query),
        Some(other) => Err(fields::wrong("input_type", &json!(other), "query or passage")),
    }
}

/// 32-bit floats, the lowest byte first.
fn packed(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

#[derive(Serialize)]
struct Answer {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Value,
    /// Only told where it is so: OpenAI's API has no such field.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// Not a `Value`, which would make 64-bit numbers with twice the digits of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}
