//! Who asks: a bearer token, or the browser's session cookie.

use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use super::HttpState;
use crate::auth::{AuthError, Viewer};
use crate::error::{ApiError, Code};
use crate::events::{EventFilter, EventKind};
use crate::graphql::SessionChange;
use crate::services::accounts::ACCESS_ENDED;

const SESSION_COOKIE: &str = "inkstone_session";

/// The viewer that these headers name; nobody in particular when they name none. A header is
/// stronger than a cookie.
///
/// Errors: a bearer token that is not valid. A cookie that is not valid any more is ignored: the
/// browser would send it again and again.
pub async fn of_headers(state: &HttpState, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Viewer, ApiError> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        return of_authorization(state, header.to_str().unwrap_or_default(), now).await;
    }
    match cookie(headers) {
        None => Ok(Viewer::anonymous()),
        Some(token) => match state.authenticator.viewer(token, now).await {
            Err(AuthError::InvalidToken) => Ok(Viewer::anonymous()),
            found => Ok(found?),
        },
    }
}

/// The viewer of an `Authorization` value.
pub async fn of_authorization(state: &HttpState, header: &str, now: DateTime<Utc>) -> Result<Viewer, ApiError> {
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::InvalidToken.into());
    }
    Ok(state.authenticator.viewer(token.trim(), now).await?)
}

/// Waits until what the viewer signed in with is no good any more, or gives other rights: signed out,
/// expired, revoked, another role. Looks when the account changes, and every `recheck`; a database
/// that is away takes no rights.
pub async fn rights_end(state: Arc<HttpState>, viewer: Viewer) {
    let Some(user) = viewer.user() else { return std::future::pending().await };
    let filter = EventFilter { kinds: vec![EventKind::UserChanged], subject: Some(user.id) };
    let mut changes = match state.services.events.subscribe(filter, None).await {
        Ok(changes) => changes,
        Err(_) => futures_util::stream::pending().boxed(),
    };
    loop {
        // First of all as well: the rights may have ended before anybody listened.
        match state.authenticator.renew(&viewer, Utc::now()).await {
            Ok(now) if now.has_rights_of(&viewer) => {}
            Err(AuthError::Db(_)) => {}
            _ => return,
        }
        let told = async {
            while let Some(Ok(event)) = changes.next().await {
                if event.payload.get(ACCESS_ENDED).is_some() {
                    return;
                }
            }
            std::future::pending().await
        };
        let _ = tokio::time::timeout(state.limits.recheck, told).await;
    }
}

/// Why a stream ends that could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The server stops.
    Stopping,
    /// Who asked has not the same rights any more.
    Rights,
}

/// Waits until the server stops, or the viewer's rights end.
pub async fn stream_ends(state: Arc<HttpState>, viewer: Viewer) -> StreamEnd {
    tokio::select! {
        () = state.stopping.cancelled() => StreamEnd::Stopping,
        () = rights_end(state.clone(), viewer) => StreamEnd::Rights,
    }
}

/// Waits until an answer that is being told has to end: it comes to an end by itself, and has some time for
/// that while the server stops. What is to be told then.
pub async fn answer_ends(state: Arc<HttpState>, viewer: Viewer) -> ApiError {
    let stopped = async {
        state.stopping.cancelled().await;
        tokio::time::sleep(state.limits.answer_grace).await;
    };
    tokio::select! {
        () = stopped => ApiError::new(Code::Overloaded, "the server is stopping: ask again"),
        () = rights_end(state.clone(), viewer) => rights_ended(),
    }
}

/// What is told to whose rights have ended.
pub fn rights_ended() -> ApiError {
    let message = "what you signed in with has ended, or your rights have changed: sign in or connect again";
    ApiError::new(Code::Unauthenticated, message)
}

/// True if only the cookie says who asks, so that another site could have made the browser ask.
pub fn is_by_cookie(headers: &HeaderMap) -> bool {
    !headers.contains_key(AUTHORIZATION) && cookie(headers).is_some()
}

/// Other cookies may hold any bytes, so each pair is read on its own.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut tokens = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    tokens.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, token)| token)
}

/// The `Set-Cookie` that a request's change of session asks for.
pub fn set_cookie(change: &SessionChange, secure: bool, now: DateTime<Utc>) -> Option<HeaderValue> {
    let (token, seconds) = match change.as_ref()? {
        Some((token, until)) => (token.as_str(), (*until - now).num_seconds().max(0)),
        None => ("", 0),
    };
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{SESSION_COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
    ))
    .ok()
}
