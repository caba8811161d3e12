//! Who asks, and what they may do.
//!
//! [`Authenticator::viewer`] turns a bearer token or a cookie into a [`Viewer`]; services ask the
//! viewer before they change anything, and the store is asked with the viewer's [`Sight`].
//! Imports `store` and `config`; imported by `services`, `graphql`, `http` and `app`.
//!
//! To add a right: a [`Scope`] if API keys should be able to leave it out, and a method on
//! [`Viewer`] that names the deed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::users::{Role, UserRow};
use crate::store::{Db, DbError, Sight, api_keys, sessions};

pub mod password;
pub mod token;

pub use password::{PasswordError, Passwords};
pub use token::{ApiKey, SessionToken, TokenHash};

/// What an API key may be used for. A session may everything that its user may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// See what the user sees, drafts included.
    Read,
    /// Write posts, tags, series and the site's description.
    Write,
    /// Comment and react.
    Comment,
    /// Decide about comments.
    Moderate,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Comment, Self::Moderate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Comment => "comment",
            Self::Moderate => "moderate",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a scope: expected {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The one who asks: nobody in particular, or a user with what their credential allows.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    user: Option<Arc<UserRow>>,
    scopes: Vec<Scope>,
    /// The session that was used, so that it can be ended.
    session: Option<TokenHash>,
}

impl Viewer {
    /// Somebody who has not signed in.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user with everything that the role allows, as the command line acts.
    pub fn trusted(user: UserRow) -> Self {
        Self { user: Some(Arc::new(user)), scopes: Scope::ALL.to_vec(), session: None }
    }

    pub fn user(&self) -> Option<&Arc<UserRow>> {
        self.user.as_ref()
    }

    pub fn session(&self) -> Option<&TokenHash> {
        self.session.as_ref()
    }

    /// How much of the site this viewer sees.
    pub fn sight(&self) -> Sight {
        if self.is_staff() && self.scopes.contains(&Scope::Read) { Sight::Everything } else { Sight::Public }
    }

    /// May see the e-mail address of this user: one's own, and the owner everybody's.
    pub fn may_see_email_of(&self, user_id: Uuid) -> bool {
        let own = self.user.as_ref().is_some_and(|user| user.id == user_id);
        (own || self.role() == Some(Role::Owner)) && self.scopes.contains(&Scope::Read)
    }

    /// May write posts, tags and series.
    pub fn may_write(&self) -> bool {
        self.is_staff() && self.scopes.contains(&Scope::Write)
    }

    /// May change the description of the site.
    pub fn may_change_site(&self) -> bool {
        self.role() == Some(Role::Owner) && self.scopes.contains(&Scope::Write)
    }

    /// May decide about other people's comments.
    pub fn may_moderate(&self) -> bool {
        self.is_staff() && self.scopes.contains(&Scope::Moderate)
    }

    /// May comment and react under the own name.
    pub fn may_comment(&self) -> bool {
        self.user.is_some() && self.scopes.contains(&Scope::Comment)
    }

    /// True if this is the same user, with the same role and scopes.
    pub fn has_rights_of(&self, other: &Self) -> bool {
        let who = |viewer: &Self| viewer.user.as_ref().map(|user| (user.id, user.role));
        who(self) == who(other) && self.scopes == other.scopes
    }

    fn role(&self) -> Option<Role> {
        self.user.as_ref().map(|user| user.role)
    }

    fn is_staff(&self) -> bool {
        matches!(self.role(), Some(Role::Owner | Role::Editor))
    }
}

/// Credentials could not be turned into a viewer.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is malformed, unknown, expired or revoked. Which one is not told.
    #[error("the token is not valid, or no longer")]
    InvalidToken,
    #[error("the token could not be looked up")]
    Db(#[from] DbError),
}

/// Looks tokens up.
#[derive(Clone)]
pub struct Authenticator {
    db: Db,
}

impl Authenticator {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The user behind a session token or an API key.
    pub async fn viewer(&self, token: &str, now: DateTime<Utc>) -> Result<Viewer, AuthError> {
        let hash = TokenHash::of(token).ok_or(AuthError::InvalidToken)?;
        let mut conn = self.db.conn().await?;
        if ApiKey::looks_like(token) {
            let found = api_keys::find(&mut conn, hash.as_bytes(), now).await?;
            let (user, scopes) = found.ok_or(AuthError::InvalidToken)?;
            let scopes = scopes.as_array().into_iter().flatten().filter_map(|s| s.as_str()?.parse().ok()).collect();
            return Ok(Viewer { user: Some(Arc::new(user)), scopes, session: None });
        }
        let user = sessions::find(&mut conn, hash.as_bytes(), now).await?.ok_or(AuthError::InvalidToken)?;
        Ok(Viewer { user: Some(Arc::new(user)), scopes: Scope::ALL.to_vec(), session: Some(hash) })
    }
}
