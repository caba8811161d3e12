//! Who asks, and what they may do.
//!
//! [`Authenticator::viewer`] turns a bearer token or a cookie into a [`Viewer`]; services ask the
//! viewer before they change anything, and the store is asked with the viewer's [`Sight`].
//! Imports `store` and `config`; imported by `services`, `graphql`, `http` and `app`.
//!
//! To add a right: a [`Scope`] if API keys should be able to leave it out, and a method on
//! [`Viewer`] that names the deed.

use std::sync::Arc;

use uuid::Uuid;

use crate::store::Sight;
use crate::store::users::{Role, UserRow};

mod authenticator;
pub mod password;
pub mod token;

pub use authenticator::{AuthError, Authenticator, RightsVersion};
pub use password::{PasswordError, Passwords};
pub use token::{ApiKey, ReadingToken, SessionToken, TokenHash};

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
    /// Have models read and write: `/v1`.
    Infer,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Comment, Self::Moderate, Self::Infer];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Comment => "comment",
            Self::Moderate => "moderate",
            Self::Infer => "infer",
        }
    }

    /// The scopes of a stored list; what this version does not know is left out.
    pub fn of_stored(list: &serde_json::Value) -> Vec<Self> {
        list.as_array().into_iter().flatten().filter_map(|scope| scope.as_str()?.parse().ok()).collect()
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
    /// False for a program with an API key.
    in_person: bool,
    /// The hash of the session's token or the API key that was used.
    credential: Option<TokenHash>,
    /// The API key that was used.
    key: Option<Uuid>,
}

impl Viewer {
    /// Somebody who has not signed in.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A user with everything that the role allows, as the command line acts.
    pub fn trusted(user: UserRow) -> Self {
        Self { user: Some(Arc::new(user)), scopes: Scope::ALL.to_vec(), in_person: true, credential: None, key: None }
    }

    pub fn user(&self) -> Option<&Arc<UserRow>> {
        self.user.as_ref()
    }

    /// The session that was used, so that it can be ended; none for a key.
    pub fn session(&self) -> Option<&TokenHash> {
        self.credential.as_ref().filter(|_| self.in_person)
    }

    /// Showed the same as `other`, or nothing as they did.
    pub fn has_credential_of(&self, other: &Self) -> bool {
        self.credential == other.credential
    }

    /// May the same as `other`, who is the same user.
    pub fn has_rights_of(&self, other: &Self) -> bool {
        self.role() == other.role() && self.scopes == other.scopes
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

    /// May see what is worked on in the background, and why it failed.
    pub fn may_see_jobs(&self) -> bool {
        self.role() == Some(Role::Owner) && self.scopes.contains(&Scope::Read)
    }

    /// May have work in the background repeated or cancelled.
    pub fn may_change_jobs(&self) -> bool {
        self.may_see_jobs() && self.scopes.contains(&Scope::Write)
    }

    /// May decide about other people's comments.
    pub fn may_moderate(&self) -> bool {
        self.is_staff() && self.scopes.contains(&Scope::Moderate)
    }

    /// May have models read and write.
    pub fn may_infer(&self) -> bool {
        self.is_staff() && self.scopes.contains(&Scope::Infer)
    }

    /// May have models help with posts, which they read for it.
    pub fn may_be_helped(&self) -> bool {
        self.may_write() && self.may_infer() && self.sight() == Sight::Everything
    }

    /// To whose account requests go, and the tokens of models: each key of staff has its own. Readers can make keys as
    /// they like, so that all of theirs is their own.
    pub fn account(&self) -> Option<String> {
        match self.key {
            Some(key) if self.is_staff() => Some(format!("key:{}", key.simple())),
            _ => self.person(),
        }
    }

    /// Who it is, whatever they signed in with.
    pub fn person(&self) -> Option<String> {
        self.user.as_ref().map(|user| format!("user:{}", user.id.simple()))
    }

    /// May comment and react under the own name.
    pub fn may_comment(&self) -> bool {
        self.user.is_some() && self.scopes.contains(&Scope::Comment)
    }

    /// Signed in with a password, and not with an API key, which its finder could make more of.
    pub fn is_in_person(&self) -> bool {
        self.in_person
    }

    /// May see and change what this user signs in with, and their profile: one's own, and the
    /// owner everybody's.
    pub fn may_manage_account_of(&self, user_id: Uuid) -> bool {
        let own = self.user.as_ref().is_some_and(|user| user.id == user_id);
        self.in_person && (own || self.role() == Some(Role::Owner))
    }

    /// May say what others may do.
    pub fn may_give_roles(&self) -> bool {
        self.in_person && self.role() == Some(Role::Owner)
    }

    fn role(&self) -> Option<Role> {
        self.user.as_ref().map(|user| user.role)
    }

    pub fn is_staff(&self) -> bool {
        matches!(self.role(), Some(Role::Owner | Role::Editor))
    }
}
