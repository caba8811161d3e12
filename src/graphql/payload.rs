//! What mutations answer besides the object they changed.

use async_graphql::{Enum, MaybeUndefined, SimpleObject};

use crate::error::ApiError;
use crate::services::{Refusal, RefusalCode, ServiceError};

/// Why an input was refused.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "RefusalCode")]
pub enum UserErrorCode {
    /// The value cannot be accepted; the message says what would be.
    Invalid,
    /// The value is longer than allowed.
    TooLong,
    /// Something else has this value already.
    Taken,
    /// What the input refers to does not exist, or not for you.
    NotFound,
    /// Somebody changed the object after you read it.
    StaleVersion,
    /// The object is in a state that does not allow this.
    WrongState,
    /// The name or the password is wrong.
    WrongCredentials,
    /// The owner has closed this.
    Closed,
}

/// Something that is wrong with the input of a mutation. Nothing was changed.
#[derive(SimpleObject, Clone)]
pub struct UserError {
    /// A stable code to decide by.
    pub code: UserErrorCode,
    /// The field of `input` that is at fault, if it is one.
    pub field: Option<String>,
    /// A sentence for the user.
    pub message: String,
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.into(), field: refusal.field.map(str::to_owned), message: refusal.message }
    }
}

/// Sorts the outcome of a verb: what the user got wrong belongs into the payload, anything else is
/// an error of the request.
pub fn outcome<T>(done: Result<T, ServiceError>) -> Result<(Option<T>, Vec<UserError>), ApiError> {
    match done {
        Ok(value) => Ok((Some(value), Vec::new())),
        Err(ServiceError::Refused(refusals)) => Ok((None, refusals.into_iter().map(UserError::from).collect())),
        Err(error) => Err(error.into()),
    }
}

/// What an edit says about a field that can be emptied: nothing, that it is to be empty, or a value.
pub fn maybe<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}
