//! What readers read, with their consent: a member's history unless it is switched off, and that of a
//! reading token for who has no account. A read of anybody counts for its post and day, without them.
//!
//! No event tells of a read: they would flood the log, and nothing that is cached depends on one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use moka::sync::Cache;
use uuid::Uuid;

use super::error::gone;
use super::{Actor, RefusalCode, ServiceError, Services, allowance, caching};
use crate::auth::{ReadingToken, TokenHash};
use crate::store::posts::PostRow;
use crate::store::readers::{self, Reader};
use crate::store::reads::{self, ReadRow};
use crate::store::{Page, PageOf, Sight, post_days};

/// A post that is read again within this time was read once.
const ONCE_IN: Duration = Duration::from_secs(30 * 60);
/// Posts in a history.
const MAX_READS: i64 = 500;
/// Reads that are remembered so that they count once, about 150 bytes each. With more the oldest
/// could count again.
const MAX_LATELY: u64 = 100_000;
const DEED: &str = "have a history: it is for who is signed in with a password";

/// What was read of late by those of whom no history is kept: in this process only, by the network
/// that they come from.
#[derive(Clone)]
pub struct Lately(Cache<(Box<str>, Uuid), ()>);

impl Default for Lately {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_LATELY).time_to_live(ONCE_IN).build())
    }
}

impl Lately {
    /// True for the first read of a post in a while.
    fn is_first(&self, who: String, post_id: Uuid) -> bool {
        self.0.entry((who.into(), post_id)).or_insert(()).is_fresh()
    }
}

/// What somebody has read.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub page: PageOf<ReadRow>,
    /// False: what is read from now on is not written down.
    pub is_kept: bool,
}

/// Whose history it is: of who is signed in, else of the token; nobody's without either. A program
/// with an API key reads nothing itself, but may tell whom it reads for.
pub(super) fn reader(actor: &Actor, token: Option<&str>) -> Result<Option<Reader>, ServiceError> {
    let hash = token.map(hash_of).transpose()?;
    let user = actor.viewer.user().filter(|_| actor.viewer.is_in_person());
    Ok(user.map(|user| Reader::User(user.id)).or(hash.map(|hash| Reader::Token(hash.as_bytes().to_vec()))))
}

/// Counts that a published post is read, and puts it into the reader's history if there is one.
pub async fn record(
    services: &Services,
    actor: &Actor,
    address: Option<IpAddr>,
    post_id: Uuid,
    token: Option<&str>,
) -> Result<Arc<PostRow>, ServiceError> {
    let reader = reader(actor, token)?;
    let post = caching::posts(services, &[post_id]).await?.remove(&post_id);
    let post = post.filter(|post| post.visible_to(Sight::Public));
    let post = post.ok_or_else(|| ServiceError::not_found("postId", "post that is published"))?;
    let network = allowance::network(address);
    let Some(reader) = reader else {
        if services.lately.is_first(network, post_id) {
            let mut conn = services.db.conn().await?;
            let counted = post_days::count(&mut conn, post_id, actor.now.date_naive()).await;
            counted.map_err(|error| gone(error, "postId"))?;
        }
        return Ok(post);
    };
    // Tokens are to be had for nothing: they make no post more popular than their network does.
    let network = Some(network).filter(|_| actor.viewer.user().is_none());
    write_down(services, actor, &reader, network, post_id).await?;
    Ok(post)
}

async fn write_down(
    services: &Services,
    actor: &Actor,
    reader: &Reader,
    network: Option<String>,
    post_id: Uuid,
) -> Result<(), ServiceError> {
    let gone = |error| gone(error, "postId");
    let mut tx = services.db.begin().await?;
    let touched = readers::touch(&mut tx, reader, actor.now).await.map_err(gone)?;
    let (reader_id, keep) = touched.ok_or_else(unknown_token)?;
    let counts = if keep {
        let again_from = actor.now - TimeDelta::from_std(ONCE_IN).unwrap_or_default();
        let times = reads::count(&mut tx, reader_id, post_id, actor.now, again_from).await.map_err(gone)?;
        if times == Some(1) {
            reads::keep_last(&mut tx, reader_id, MAX_READS).await?;
        }
        times.is_some() && network.is_none_or(|network| services.lately.is_first(network, post_id))
    } else {
        services.lately.is_first(reader_id.to_string(), post_id)
    };
    if counts {
        post_days::count(&mut tx, post_id, actor.now.date_naive()).await.map_err(gone)?;
    }
    Ok(tx.commit().await?)
}

/// Begins a history for who has no account and wants one. The token is told once and never again.
pub async fn start(services: &Services, actor: &Actor) -> Result<ReadingToken, ServiceError> {
    let (token, hash) = ReadingToken::generate();
    readers::insert(&mut *services.db.conn().await?, hash.as_bytes(), actor.now).await?;
    Ok(token)
}

/// Forgets a history at once; returns how many posts were in it. With a token its history, and the
/// token is no good any more; else that of the one who asks.
pub async fn forget(services: &Services, actor: &Actor, token: Option<&str>) -> Result<usize, ServiceError> {
    let reader = match token {
        Some(token) => Reader::Token(hash_of(token)?.as_bytes().to_vec()),
        None => Reader::User(actor.require_in_person(DEED)?),
    };
    let mut tx = services.db.begin().await?;
    let forgotten = match (readers::find(&mut tx, &reader).await?, &reader) {
        (Some((id, _)), _) => reads::delete_all(&mut tx, id).await?,
        (None, Reader::User(_)) => 0,
        (None, Reader::Token(_)) => return Err(unknown_token()),
    };
    if let Reader::Token(hash) = &reader {
        readers::delete(&mut tx, hash).await?;
    }
    tx.commit().await?;
    Ok(forgotten)
}

/// Says whether what the one who asks reads is written down from now on. Off, what is there goes.
pub async fn set_keep(services: &Services, actor: &Actor, keep: bool) -> Result<(), ServiceError> {
    let user_id = actor.require_in_person(DEED)?;
    let mut tx = services.db.begin().await?;
    let set = readers::set_keep(&mut tx, user_id, keep, actor.now).await;
    let reader_id = set.map_err(|error| gone(error, "keep"))?;
    if !keep {
        reads::delete_all(&mut tx, reader_id).await?;
    }
    Ok(tx.commit().await?)
}

/// One page of what the one who asks has read, or was read with the token; the last read first.
pub async fn history(
    services: &Services,
    actor: &Actor,
    token: Option<&str>,
    page: &Page,
) -> Result<History, ServiceError> {
    let reader = reader(actor, token)?.map_or_else(|| Err(not_in_person(actor)), Ok)?;
    let mut conn = services.db.conn().await?;
    let Some((id, is_kept)) = readers::find(&mut conn, &reader).await? else {
        return match reader {
            Reader::User(_) => Ok(History { is_kept: true, ..History::default() }),
            Reader::Token(_) => Err(unknown_token()),
        };
    };
    Ok(History { page: reads::page(&mut conn, id, page).await?, is_kept })
}

fn not_in_person(actor: &Actor) -> ServiceError {
    match actor.user_id() {
        Ok(_) => ServiceError::Forbidden(DEED),
        Err(error) => error,
    }
}

fn hash_of(token: &str) -> Result<TokenHash, ServiceError> {
    let message = "readingToken is none: pass back what `startReading` gave, unchanged";
    ReadingToken::hash_of(token).ok_or_else(|| ServiceError::refuse(RefusalCode::Invalid, "readingToken", message))
}

/// It may have been forgotten by whoever has it, or because it was not used for long.
pub(super) fn unknown_token() -> ServiceError {
    let message = "this history was forgotten: begin another with `startReading`";
    ServiceError::refuse(RefusalCode::NotFound, "readingToken", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_counts_once_for_a_network() {
        let lately = Lately::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = |who: &str, post| lately.is_first(who.to_owned(), post);
        assert_eq!([first("a", one), first("a", one), first("a", other), first("b", one)], [true, false, true, true]);
    }
}
