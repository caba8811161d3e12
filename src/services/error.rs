//! How a verb can fail.

use std::sync::Arc;

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
    /// Too much at once; trying again later may help.
    #[error("overloaded: {0}")]
    Busy(String),
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

    /// `what` with this id does not exist, or not for this viewer.
    pub fn not_found(field: &'static str, what: &str) -> Self {
        Self::refuse(RefusalCode::NotFound, field, format!("there is no such {what}"))
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
