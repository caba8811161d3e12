//! Letting a question in.

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::answering::Answering;
use super::{Asker, ChatEvent, Question, threads};
use crate::services::allowance::Account;
use crate::services::validate::Check;
use crate::services::{RefusalCode, ServiceError, Services};

/// Longest question.
pub const MAX_QUESTION_CHARS: usize = 2000;
/// Events that a client may be behind before the model waits.
const AHEAD: usize = 64;

/// Answers a question. Dropping the stream stops the model at its next token.
///
/// Errors: the question will not do, there is no such conversation, nothing is left of the day's
/// tokens, or too many are asking.
pub async fn ask(
    services: &Services,
    asker: Asker,
    mut question: Question,
) -> Result<impl Stream<Item = ChatEvent> + Send + use<>, ServiceError> {
    question.text = question.text.trim().to_owned();
    Check::default()
        .that(!question.text.is_empty(), RefusalCode::Invalid, "question", || "question is empty".into())
        .at_most("question", &question.text, MAX_QUESTION_CHARS)
        .done()?;
    if let Some(fault) = question.filter.fault() {
        return Err(ServiceError::refuse(RefusalCode::Invalid, "filter", fault));
    }
    let (actor, thread) = (&asker.actor, std::mem::take(&mut question.thread));
    let account = Account::of(services, &actor.viewer, asker.address, actor.now);
    if let Some(used_up) = account.used_up(services, actor.now).await? {
        return Err(ServiceError::UsedUp(used_up));
    }
    let place = services.chats.0.places.take(&account).map_err(ServiceError::Busy)?;
    let thread = Box::pin(threads::open(services, &asker, thread, &question.text)).await?;
    let answering = Answering::new(services.clone(), account, actor.now, question, thread);
    let (sender, told) = mpsc::channel(AHEAD);
    // A task of its own notices that the client has gone, or the time is up, whatever it waits for.
    tokio::spawn(answering.run(sender, place).in_current_span());
    Ok(stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) }))
}
