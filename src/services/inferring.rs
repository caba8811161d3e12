//! What the models do for those who may ask them: within their rights, and counted.

use futures_util::{Stream, StreamExt};

use super::{Actor, ServiceError, Services, allowance};
use crate::inference::{
    EmbedRequest, Embeddings, EngineError, GenerateRequest, InferenceError, Piece, Ranking, RerankRequest,
};

const DEED: &str = "have models read and write (owner and editors, scope `infer`)";

/// A model did not answer: because of who asks, or because of the model.
#[derive(Debug)]
pub enum InferringError {
    Service(ServiceError),
    Inference(InferenceError),
}

impl From<ServiceError> for InferringError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<InferenceError> for InferringError {
    fn from(error: InferenceError) -> Self {
        Self::Inference(error)
    }
}

/// Who writes a text.
#[derive(Clone, Debug)]
pub struct By {
    pub model: String,
    /// Another model than the one that should have.
    pub degraded: bool,
}

/// Texts to vectors.
pub async fn embed(
    services: &Services,
    actor: &Actor,
    model: Option<&str>,
    request: EmbedRequest,
) -> Result<Embeddings, InferringError> {
    let account = enter(services, actor).await?;
    let done = services.engine.embed(model, request).await?;
    allowance::note(services, &account, done.prompt_tokens, 0, actor.now).await;
    Ok(done)
}

/// How well each text answers a query.
pub async fn rerank(
    services: &Services,
    actor: &Actor,
    model: Option<&str>,
    request: RerankRequest,
) -> Result<Ranking, InferringError> {
    let account = enter(services, actor).await?;
    let done = services.engine.rerank(model, request).await?;
    allowance::note(services, &account, done.prompt_tokens, 0, actor.now).await;
    Ok(done)
}

/// A text as it is written, and who writes it. A text that is left is counted by what came
/// of it.
pub async fn generate(
    services: &Services,
    actor: &Actor,
    model: Option<&str>,
    request: GenerateRequest,
) -> Result<(By, impl Stream<Item = Result<Piece, InferenceError>> + Send + use<>), InferringError> {
    let account = enter(services, actor).await?;
    let generation = services.engine.generate(model, request).await?;
    let by = By { model: generation.model.clone(), degraded: generation.degraded };
    let (services, now) = (services.clone(), actor.now);
    let counted = generation.then(move |piece| {
        let (services, account) = (services.clone(), account.clone());
        async move {
            if let Ok(Piece::Done { usage, .. }) = &piece {
                allowance::note(&services, &account, usage.prompt_tokens, usage.completion_tokens, now).await;
            }
            piece
        }
    });
    Ok((by, counted))
}

/// Lets another model answer for its task. For the owner.
pub fn deploy(services: &Services, actor: &Actor, model: &str) -> Result<String, ServiceError> {
    actor.require(actor.viewer.may_change_site(), "choose the models (owner)")?;
    services.engine.deploy(model).map(|deployed| deployed.name).map_err(|error| match error {
        EngineError::Choice(why) => ServiceError::refuse(super::RefusalCode::NotFound, "model", why),
        other => ServiceError::Internal(other.to_string()),
    })
}

/// The account that tokens go to, of one who may ask and has some left.
async fn enter(services: &Services, actor: &Actor) -> Result<String, ServiceError> {
    actor.require(actor.viewer.may_infer(), DEED)?;
    let account = actor.viewer.account().ok_or(ServiceError::Unauthenticated)?;
    match allowance::used_up(services, &account, actor.now).await? {
        None => Ok(account),
        Some(used_up) => Err(ServiceError::UsedUp(used_up)),
    }
}
