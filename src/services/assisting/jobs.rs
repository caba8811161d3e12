//! Help with many posts: one job a post, which leaves a proposal.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::deciding::changed;
use super::translating::{self, Standing};
use super::work::{Stop, Work};
use super::{AssistFailure, DEED, Suggestion, Wanted};
use crate::auth::Viewer;
use crate::inference::{InferenceError, Task};
use crate::services::allowance::{self, Account};
use crate::services::error::gone;
use crate::services::jobs::{Outcome, Progress};
use crate::services::validate::Check;
use crate::services::{Actor, RefusalCode, ServiceError, Services};
use crate::store::jobs::{self, NewJob, Priority};
use crate::store::posts::{self, PostRow};
use crate::store::proposals::{self, ProposalKind, ProposalRow, ProposalStatus};
use crate::store::{Tx, users};

/// The job that has a model help with a post; its subject is the post.
pub const ASSIST_JOB: &str = "assist_post";
/// Posts that can be asked for at once.
pub const MAX_POSTS: usize = 100;
/// A model that did not do it in so many attempts will not.
const MAX_ATTEMPTS: i32 = 3;
/// When it is asked again whether a model is there, or another job is done.
const MODEL_PAUSE: TimeDelta = TimeDelta::seconds(10);
const TURN_PAUSE: TimeDelta = TimeDelta::seconds(1);

/// What is wanted for some posts.
#[derive(Clone, Debug)]
pub struct AskFor {
    pub kind: ProposalKind,
    pub post_ids: Vec<Uuid>,
    /// Of translations, and of nothing else.
    pub language: Option<String>,
}

/// What a job has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payload {
    tasks: Vec<Asked>,
    /// Who asked last, and whose tokens it takes.
    by: Uuid,
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    kind: ProposalKind,
    language: Option<String>,
}

/// Asks for jobs, one a post; their ids. A post that is waited for already gets both done by one job.
///
/// Errors: for others than the owner and editors; one of the posts will not do.
pub async fn ask_for(services: &Services, actor: &Actor, input: AskFor) -> Result<Vec<Uuid>, ServiceError> {
    let by = actor.require(actor.viewer.may_be_helped(), DEED)?;
    let account = actor.viewer.account().ok_or(ServiceError::Unauthenticated)?;
    let asked = check(services, &input).await?;
    if let Some(used_up) = allowance::used_up(services, &account, actor.now).await? {
        return Err(ServiceError::UsedUp(used_up));
    }
    // In one order, so that two who ask for the same wait for each other; each once.
    let post_ids: BTreeSet<Uuid> = input.post_ids.into_iter().collect();
    let mut tx = services.db.begin().await?;
    let mut ids = Vec::with_capacity(post_ids.len());
    for post_id in post_ids {
        let payload = Payload { tasks: vec![asked.clone()], by, account: account.clone() };
        ids.push(enqueue(&mut tx, post_id, payload, actor.now).await?);
    }
    Box::pin(services.commit(tx, &[])).await?;
    Ok(ids)
}

async fn enqueue(tx: &mut Tx, post_id: Uuid, mut payload: Payload, now: DateTime<Utc>) -> Result<Uuid, ServiceError> {
    if let Some((id, open)) = jobs::lock_open(tx, ASSIST_JOB, post_id).await? {
        let open: Option<Payload> = serde_json::from_value(open).ok();
        let mut tasks = open.map(|open| open.tasks).unwrap_or_default();
        let asked = payload.tasks.remove(0);
        if tasks.contains(&asked) {
            return Ok(id);
        }
        tasks.push(asked);
        payload.tasks = tasks;
    }
    let job = NewJob {
        priority: Priority::LOW,
        payload: json!(payload),
        max_attempts: MAX_ATTEMPTS,
        ..NewJob::new(ASSIST_JOB, post_id, now)
    };
    Ok(jobs::enqueue_with(tx, &job, now).await?)
}

async fn check(services: &Services, input: &AskFor) -> Result<Asked, ServiceError> {
    let count = input.post_ids.len();
    let is_translation = input.kind == ProposalKind::Translation;
    let mut check = Check::default();
    check.that((1..=MAX_POSTS).contains(&count), RefusalCode::Invalid, "postIds", || {
        format!("{count} posts: name 1 to {MAX_POSTS}")
    });
    check.that(is_translation || input.language.is_none(), RefusalCode::Invalid, "language", || {
        "language is for translations: leave it out".into()
    });
    let wanted = Wanted { kind: input.kind, post_id: Uuid::nil(), language: input.language.clone() }.in_normal_form();
    if let Some(language) = wanted.language.as_deref().filter(|_| is_translation) {
        check.language(language);
    } else if is_translation {
        check.that(false, RefusalCode::Invalid, "kind", || "a translation needs a `language`, such as \"en\"".into());
    }
    check.that(
        input.kind != ProposalKind::AltText || services.engine.deployed(Task::Describe).is_some(),
        RefusalCode::WrongState,
        "kind",
        || services.engine.no_model(Task::Describe).to_string(),
    );
    check.done()?;
    let rows = posts::by_ids(&mut *services.db.conn().await?, &input.post_ids).await?;
    if input.post_ids.iter().any(|id| rows.iter().all(|row| row.id != *id)) {
        return Err(ServiceError::not_found("postIds", "post as one of them"));
    }
    if let Some(language) = wanted.language.as_deref() {
        translatable(services, &rows, language).await?;
    }
    Ok(Asked { kind: input.kind, language: wanted.language })
}

/// Errors: some posts are in the language, or have a version in it that is not to be lost.
async fn translatable(services: &Services, rows: &[PostRow], language: &str) -> Result<(), ServiceError> {
    let (mut same, mut taken) = (Vec::new(), Vec::new());
    let mut conn = services.db.conn().await?;
    for row in rows {
        if row.language == language {
            same.push(row.slug.as_str());
        } else if let Standing::Taken(_) = translating::standing(&mut conn, row, language).await? {
            taken.push(row.slug.as_str());
        }
    }
    Check::default()
        .that(same.is_empty(), RefusalCode::Invalid, "postIds", || {
            format!("these posts are in {language:?} already: {}: leave them out", same.join(", "))
        })
        .that(taken.is_empty(), RefusalCode::Taken, "postIds", || {
            format!(
                "somebody has worked on the version in {language:?} of these posts: {}: leave them out",
                taken.join(", ")
            )
        })
        .done()
}

/// What the job does: asks the model, and keeps what it proposes. What is no longer to be done is no
/// error: the post is gone, or who asked may not any more.
pub async fn run(
    services: &Services,
    post_id: Uuid,
    payload: &Value,
    progress: &Progress,
) -> Result<Outcome, ServiceError> {
    let now = Utc::now();
    let Some(_turn) = services.chats.turn() else { return Ok(Outcome::Later(now + TURN_PAUSE)) };
    let asked: Payload = serde_json::from_value(payload.clone())
        .map_err(|error| ServiceError::Internal(format!("a job that cannot be read: {error}")))?;
    let user = users::by_ids(&mut *services.db.conn().await?, &[asked.by]).await?.pop();
    let Some(viewer) = user.map(Viewer::trusted).filter(Viewer::may_be_helped) else { return Ok(Outcome::Done) };
    let actor = Actor { viewer, now };
    let account = allowance::signed_in(services, &asked.account);
    let mut failed = None;
    for task in asked.tasks {
        let wanted = Wanted { kind: task.kind, post_id, language: task.language.clone() };
        match Box::pin(propose(services, &actor, &account, &wanted, progress)).await {
            Ok(()) => strike(services, post_id, &task).await?,
            Err(Stop::Left) => return Ok(Outcome::Done),
            // What has to wait keeps all that is left waiting; what cannot be done only itself.
            Err(Stop::Failure(failure)) => match later_or_never(failure) {
                Ok(later) => return Ok(later),
                Err(error) => failed = failed.or(Some(error)),
            },
        }
    }
    failed.map_or(Ok(Outcome::Done), Err)
}

/// Takes what is done out of the job, so that another attempt leaves it alone.
async fn strike(services: &Services, post_id: Uuid, done: &Asked) -> Result<(), ServiceError> {
    let mut tx = services.db.begin().await?;
    if let Some((id, open)) = jobs::lock_open(&mut tx, ASSIST_JOB, post_id).await?
        && let Ok(mut payload) = serde_json::from_value::<Payload>(open)
    {
        payload.tasks.retain(|task| task != done);
        jobs::set_payload(&mut tx, id, &json!(payload)).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn propose(
    services: &Services,
    actor: &Actor,
    account: &Account,
    wanted: &Wanted,
    progress: &Progress,
) -> Result<(), Stop> {
    if posts::by_ids(&mut *services.db.conn().await?, &[wanted.post_id]).await?.is_empty() {
        return Ok(());
    }
    let work = Work::begin(services, actor.clone(), account.clone(), wanted).await?;
    let mut work = work.with_progress(progress);
    let made = work.make(wanted).await;
    work.settle().await;
    match made? {
        // Its draft, and what tells of it, are kept.
        Suggestion::Translation { .. } => Ok(()),
        suggestion => keep(&work, &suggestion).await,
    }
}

async fn keep(work: &Work, suggestion: &Suggestion) -> Result<(), Stop> {
    let now = Utc::now();
    let row = ProposalRow {
        id: Uuid::now_v7(),
        post_id: work.source.row.id,
        kind: suggestion.kind(),
        status: ProposalStatus::Pending,
        content: json!(suggestion),
        model: work.model.clone(),
        post_version: work.source.row.version,
        created_at: now,
        decided_at: None,
        decided_by: None,
    };
    let mut tx = work.services.db.begin().await?;
    if posts::lock(&mut tx, row.post_id).await?.is_none() {
        return Ok(());
    }
    proposals::insert(&mut tx, &row).await.map_err(|error| gone(error, "postId"))?;
    let told = changed(&row, work.actor.viewer.user().map(|user| user.id), now);
    Box::pin(work.services.commit(tx, &[told])).await?;
    Ok(())
}

/// Whether what failed may work later, for nobody's fault; else it counts as an attempt.
fn later_or_never(failure: AssistFailure) -> Result<Outcome, ServiceError> {
    let pause = match &failure {
        AssistFailure::Inference(InferenceError::Loading { .. }) => MODEL_PAUSE,
        AssistFailure::Inference(InferenceError::Overloaded { retry_after }) => {
            TimeDelta::from_std(*retry_after).unwrap_or(MODEL_PAUSE).max(TURN_PAUSE)
        }
        AssistFailure::Service(ServiceError::UsedUp(used_up)) => {
            TimeDelta::from_std(used_up.resets_in).unwrap_or(MODEL_PAUSE)
        }
        AssistFailure::Service(error) => return Err(error.clone()),
        other => return Err(ServiceError::Internal(other.to_string())),
    };
    Ok(Outcome::Later(Utc::now() + pause))
}
