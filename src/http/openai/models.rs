//! Which models there are. This is for anybody, as GraphQL's schema is.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Value, json};

use super::Asked;
use super::refusal::Refusal;
use super::site::SITE;
use crate::http::responses;
use crate::inference::{ModelState, ModelStatus};

pub async fn list(asked: Asked) -> Response {
    let known = asked.state.services.engine.models();
    let models: Vec<_> = known.iter().map(shown).chain([site()]).collect();
    answer(&asked, Ok(json!({ "object": "list", "data": models }))).await
}

pub async fn one(path: Result<Path<String>, PathRejection>, asked: Asked) -> Response {
    let found = match path {
        Ok(Path(id)) => find(&asked, &id),
        Err(_) => Err(Refusal::no_model("the name of a model is UTF-8")),
    };
    answer(&asked, found).await
}

/// A model by its name; or by its id without the variant, and then rather the one that is deployed.
fn find(asked: &Asked, id: &str) -> Result<Value, Refusal> {
    let mut models = asked.state.services.engine.models();
    if id == SITE {
        return Ok(site());
    }
    models.retain(|model| model.card.is_named(id));
    models.sort_by_key(|model| !model.deployed);
    let unknown = || {
        let id: String = id.chars().take(100).collect();
        Refusal::no_model(format!("{id:?} is no model of this server: GET /v1/models lists those that are"))
    };
    models.first().map(shown).ok_or_else(unknown)
}

/// `found`, for who says truly who they are or does not say it at all, and can pay for it.
async fn answer(asked: &Asked, found: Result<Value, Refusal>) -> Response {
    let entered = async {
        let viewer = asked.viewer(Utc::now()).await;
        let spent = asked.pay(viewer.as_ref().unwrap_or(&Default::default()), 0).await?;
        viewer.map(|_| spent)
    };
    let spent = match entered.await {
        Ok(spent) => spent,
        Err(refusal) => return refusal.into_response(),
    };
    let mut response = match found {
        Ok(found) => axum::Json(found).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    spent.tell(response.headers_mut());
    responses::keep_out(&mut response);
    response
}

fn shown(model: &ModelStatus) -> Value {
    let card = &model.card;
    let mut shown = json!({
        "id": card.name(),
        "object": "model",
        // Nobody knows when a model was made; clients want a number.
        "created": 0,
        "owned_by": "inkstone",
        "task": card.task,
        // Why a model failed is for the owner, and this is for anybody.
        "state": model.state.word(),
        "deployed": model.deployed,
        "architecture": card.architecture,
        "license": card.licence,
        "context": card.context,
        "dimensions": card.dimensions,
    });
    if let ModelState::Fetching { bytes, of_bytes } = model.state {
        shown["progress"] = json!({ "bytes": bytes, "of_bytes": of_bytes });
    }
    shown
}

/// The site itself, which always answers: where no model writes it is quoted.
fn site() -> Value {
    json!({
        "id": SITE,
        "object": "model",
        "created": 0,
        "owned_by": "inkstone",
        "task": "chat",
        "state": "ready",
        "deployed": true,
    })
}
