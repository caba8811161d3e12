//! Who asks: a bearer token, or the browser's session cookie.

use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};

use super::HttpState;
use crate::auth::{AuthError, Viewer};
use crate::error::ApiError;
use crate::graphql::SessionChange;

const SESSION_COOKIE: &str = "inkstone_session";

/// The viewer that these headers name; nobody in particular when they name none.
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

/// True if only the cookie says who asks, so that another site could have made the browser ask.
pub fn is_by_cookie(headers: &HeaderMap) -> bool {
    !headers.contains_key(AUTHORIZATION) && cookie(headers).is_some()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, token)| token)
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
