//! How a verb can fail.

use std::sync::Arc;
use std::time::Duration;

use super::allowance::UsedUp;
use crate::auth::PasswordError;
use crate::cache::CacheLoadTimeout;
use crate::store::DbError;

/// A verb that was not carried out. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServiceError {
    /// The input cannot be accepted; told to the user as it is.
    #[error("refused: {}", .0.iter().map(|r| r.message.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Refusal>),
    #[error("nobody is signed in")]
    Unauthenticated,
    /// Signed in, but not allowed to do this.
    #[error("not allowed to {0}")]
    Forbidden(&'static str),
    /// Signed in with an API key, which is not enough to do this.
    #[error("a key is not enough to {0}")]
    NotInPerson(&'static str),
    /// Too much at once; trying again later may help.
    #[error("overloaded: {0}")]
    Busy(String),
    /// There are no tokens left for today.
    #[error("the {} tokens of this day are used up", .0.tokens_per_day)]
    UsedUp(UsedUp),
    /// A password was tried too often; so long until it can be tried again.
    #[error("too many attempts to sign in")]
    TooManyAttempts(Duration),
    #[error("the store failed")]
    Db(#[source] Arc<DbError>),
    /// A defect.
    #[error("{0}")]
    Internal(String),
}

/// Why an input was refused, for the one who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: RefusalCode,
    /// The input field, if it is one field's fault.
    pub field: Option<&'static str>,
    pub message: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    Invalid,
    TooLong,
    Taken,
    NotFound,
    StaleVersion,
    WrongState,
    WrongCredentials,
    Closed,
}

impl ServiceError {
    /// A refusal that is one field's fault.
    pub fn refuse(code: RefusalCode, field: &'static str, message: impl Into<String>) -> Self {
        Self::Refused(vec![Refusal { code, field: Some(field), message: message.into() }])
    }

    /// True if the database may do it a moment later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_transient())
    }

    /// `what` with this id does not exist, or not for this viewer.
    pub fn not_found(field: &'static str, what: &str) -> Self {
        Self::refuse(RefusalCode::NotFound, field, format!("there is no such {what}"))
    }
}

/// The refusal for a foreign key's violation: what a change refers to was deleted by somebody else
/// after it was looked at. `post_field` is what the input calls the post. Other errors stay what they are.
pub(super) fn gone(error: DbError, post_field: &'static str) -> ServiceError {
    let DbError::Constraint { constraint } = &error else { return error.into() };
    let Some((_, column)) = constraint.strip_suffix("_id_fkey").and_then(|name| name.split_once('_')) else {
        return error.into();
    };
    match column {
        "post" | "days_post" | "revisions_post" | "tags_post" | "translations_post" => {
            ServiceError::not_found(post_field, "post")
        }
        "parent" => ServiceError::not_found("parentId", "comment on this post"),
        "tags_tag" => ServiceError::not_found("tags", "tag any more: somebody deleted it at this moment; try again"),
        "series" => ServiceError::not_found("seriesId", "series"),
        // The account of the one who asks.
        "user" | "author" => ServiceError::Unauthenticated,
        _ => error.into(),
    }
}

impl From<DbError> for ServiceError {
    fn from(error: DbError) -> Self {
        Self::Db(Arc::new(error))
    }
}

impl From<CacheLoadTimeout> for ServiceError {
    fn from(error: CacheLoadTimeout) -> Self {
        Self::Busy(format!("reading took too long ({error}): try again shortly"))
    }
}

impl From<PasswordError> for ServiceError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy(error.to_string()),
            PasswordError::Unfit(unfit) => Self::refuse(RefusalCode::Invalid, "password", unfit.to_string()),
            PasswordError::StoredHash(_) | PasswordError::Hashing(_) | PasswordError::Worker(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_key_tells_what_is_gone() {
        for (constraint, field) in [
            ("comments_post_id_fkey", "postId"),
            ("comments_parent_id_fkey", "parentId"),
            ("reactions_post_id_fkey", "postId"),
            ("reads_post_id_fkey", "postId"),
            ("post_days_post_id_fkey", "postId"),
            ("post_revisions_post_id_fkey", "postId"),
            ("post_tags_post_id_fkey", "postId"),
            ("post_tags_tag_id_fkey", "tags"),
            ("post_translations_post_id_fkey", "postId"),
            ("posts_series_id_fkey", "seriesId"),
        ] {
            match gone(DbError::Constraint { constraint: constraint.into() }, "postId") {
                ServiceError::Refused(refusals) => {
                    assert_eq!((refusals[0].code, refusals[0].field), (RefusalCode::NotFound, Some(field)));
                }
                other => panic!("{constraint} gave {other:?}"),
            }
        }
        for constraint in
            ["comments_author_id_fkey", "reactions_user_id_fkey", "readers_user_id_fkey", "posts_author_id_fkey"]
        {
            let error = gone(DbError::Constraint { constraint: constraint.into() }, "postId");
            assert!(matches!(error, ServiceError::Unauthenticated), "{constraint} gave {error:?}");
        }
        for constraint in ["posts_slug_key", "comments_depth_check"] {
            let error = gone(DbError::Constraint { constraint: constraint.into() }, "postId");
            assert!(matches!(error, ServiceError::Db(_)), "{constraint} is something else: {error:?}");
        }
    }
}
