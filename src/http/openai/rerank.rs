//! `POST /v1/rerank`, in the shapes of Cohere (both versions), Jina and text-embeddings-inference,
//! which are told apart by `documents` and `texts`.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fields::{Fields, text, wrong};
use super::refusal::Refusal;
use super::{Call, Wish, price_of};
use crate::inference::{Overlong, RerankRequest};

const MAX_DOCUMENTS: usize = 1000;

pub struct Rerank {
    model: Option<String>,
    request: RerankRequest,
    shape: Shape,
    /// Say what the texts were.
    with_texts: bool,
}

enum Shape {
    /// Cohere's and Jina's.
    Documents { top_n: usize },
    /// That of text-embeddings-inference.
    Texts { raw_scores: bool },
}

impl Wish for Rerank {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        let model = fields.model()?;
        let query = fields.text("query")?;
        let query = fields.required("query", query)?;
        if query.is_empty() {
            return Err(Refusal::invalid("query", "`query` is empty: say what the texts are held against"));
        }
        let (texts, shape, overlong, with_texts) = match (fields.has("documents"), fields.has("texts")) {
            (true, true) => {
                return Err(Refusal::invalid("texts", "both `documents` and `texts` are given: send one of them"));
            }
            (false, true) => {
                let texts = fields.texts("texts", MAX_DOCUMENTS)?.unwrap_or_default();
                let overlong = if fields.flag("truncate")? { Overlong::Cut } else { Overlong::Refuse };
                (texts, Shape::Texts { raw_scores: fields.flag("raw_scores")? }, overlong, fields.flag("return_text")?)
            }
            _ => {
                let texts = documents(&mut fields)?;
                let top_n = fields.integer("top_n", 1..=usize::MAX)?.unwrap_or(usize::MAX);
                // Theirs are always cut.
                (texts, Shape::Documents { top_n }, Overlong::Cut, fields.flag("return_documents")?)
            }
        };
        if texts.is_empty() {
            let field = if let Shape::Texts { .. } = shape { "texts" } else { "documents" };
            return Err(Refusal::invalid(field, "there is no text to be held against the query"));
        }
        Ok(Self { model, request: RerankRequest { query, texts, overlong }, shape, with_texts })
    }

    fn cost(&self) -> u64 {
        // The query is read again with each text.
        let query = self.request.query.len() as u64 / 4;
        price_of(&self.request.texts).saturating_add(query.saturating_mul(self.request.texts.len() as u64))
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let texts = if self.with_texts { self.request.texts.clone() } else { Vec::new() };
        let engine = &call.state.services.engine;
        let asking = async {
            let asked = engine.rerank(self.model.as_deref(), self.request).await;
            asked.map_err(|error| Refusal::of_model(error, "documents"))
        };
        let found = call.in_time(asking).await?;
        call.note(found.prompt_tokens, 0).await;
        let mut ranked: Vec<(usize, f32)> = found.logits.into_iter().enumerate().collect();
        ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let answer = match self.shape {
            Shape::Texts { raw_scores } => {
                let score = |logit| if raw_scores { f64::from(logit) } else { share(logit) };
                ranked.iter().map(|(index, logit)| scored(*index, score(*logit), &texts)).collect()
            }
            Shape::Documents { top_n } => {
                let best = ranked.iter().take(top_n);
                let results: Vec<_> = best.map(|(index, logit)| relevant(*index, share(*logit), &texts)).collect();
                let mut answer = json!({
                    "id": Uuid::now_v7(),
                    "object": "list",
                    "model": found.model,
                    "results": results,
                    "usage": { "prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens },
                    "meta": { "api_version": { "version": "2" }, "billed_units": { "search_units": 1 } },
                });
                if found.degraded {
                    answer["degraded"] = true.into();
                }
                answer
            }
        };
        Ok(axum::Json(answer).into_response())
    }
}

/// Texts, or objects with a `text`.
fn documents(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let list = fields.list("documents", MAX_DOCUMENTS)?;
    let each = |(index, value)| {
        let at = format!("documents[{index}]");
        match value {
            Value::String(text) => Ok(text),
            Value::Object(mut document) => match document.remove("text") {
                Some(value) => text(&format!("{at}.text"), value),
                None => Err(Refusal::invalid(at.clone(), format!("`{at}` has no `text`"))),
            },
            other => Err(wrong(&at, &other, "a text, or an object with `text`")),
        }
    };
    fields.required("documents", list)?.into_iter().enumerate().map(each).collect()
}

/// `logit` as a share of 1.
fn share(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

fn relevant(index: usize, score: f64, texts: &[String]) -> Value {
    let mut result = json!({ "index": index, "relevance_score": score });
    if let Some(text) = texts.get(index) {
        result["document"] = json!({ "text": text });
    }
    result
}

fn scored(index: usize, score: f64, texts: &[String]) -> Value {
    let mut result = json!({ "index": index, "score": score });
    if let Some(text) = texts.get(index) {
        result["text"] = json!(text);
    }
    result
}
