//! The API's error and its codes: the only way for an error to reach a client.
//!
//! [`ApiError`] has no `Display`, so that a bare `?` on an inner error cannot leak its text into a
//! GraphQL response: whatever becomes an `ApiError` has passed through one of the conversions here.

use serde_json::json;

use crate::auth::AuthError;
use crate::events::{CursorError, SubscribeError};
use crate::inference::InferenceError;
use crate::services::ServiceError;
use crate::services::assisting::AssistFailure;
use crate::services::chatting::ChatFailure;
use crate::store::DbError;

/// The stable codes that clients may rely on, in `extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    BadUserInput,
    Unauthenticated,
    Forbidden,
    NotFound,
    /// Apollo's name: nobody sent the text of this hash, or it was forgotten. Send it.
    PersistedQueryNotFound,
    RateLimited,
    Overloaded,
    /// The model is on its way into memory. Try again in a while.
    ModelLoading,
    /// A model did not answer in the form that it was told to.
    BadModelOutput,
    RequestTimeout,
    Internal,
}

impl Code {
    const ALL: [Self; 11] = [
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::PersistedQueryNotFound,
        Self::RateLimited,
        Self::Overloaded,
        Self::ModelLoading,
        Self::BadModelOutput,
        Self::RequestTimeout,
        Self::Internal,
    ];

    /// The code of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::ModelLoading => "MODEL_LOADING",
            Self::BadModelOutput => "BAD_MODEL_OUTPUT",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// An error as a client sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The client sent something that cannot be answered; `message` says what and what to do.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Code::BadUserInput, message)
    }

    /// A defect: logged here with everything, told to the client without anything. The request id
    /// that connects the two is on the log line's span and is added to the answer on its way out.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = %chain, "internal error");
        Self::new(Code::Internal, "internal error")
    }

    /// As one entry of a GraphQL response's `errors`, outside any field.
    pub fn to_json(&self, request_id: &str) -> serde_json::Value {
        json!({ "message": self.message, "extensions": { "code": self.code.as_str(), "requestId": request_id } })
    }
}

impl ApiError {
    /// As one of the errors of a GraphQL response, outside any field.
    pub fn to_server_error(&self, request_id: &str) -> async_graphql::ServerError {
        let mut error = async_graphql::ServerError::new(self.message.clone(), None);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", self.code.as_str());
        extensions.set("requestId", request_id);
        error
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        use async_graphql::ErrorExtensions;
        Self::new(error.message).extend_with(|_, extensions| extensions.set("code", error.code.as_str()))
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::from(&error)
    }
}

impl From<&DbError> for ApiError {
    fn from(error: &DbError) -> Self {
        match error {
            DbError::Unavailable(_) => {
                tracing::warn!(%error, "the database is away");
                Self::new(Code::Overloaded, "the database cannot be reached at the moment: try again shortly")
            }
            DbError::TimedOut => {
                tracing::warn!("a statement ran out of time");
                Self::new(
                    Code::RequestTimeout,
                    "the database did not answer in time: try again, or ask for less at once",
                )
            }
            DbError::Serialization => {
                Self::new(Code::Overloaded, "somebody changed the same thing at the same moment: try again")
            }
            DbError::UnfitText => Self::bad_input("a text holds a NUL character (U+0000): leave it out"),
            DbError::Constraint { .. } | DbError::Other(_) => Self::internal(error),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Refused(refusals) => {
                Self::bad_input(refusals.into_iter().map(|r| r.message).collect::<Vec<_>>().join("; "))
            }
            ServiceError::Unauthenticated => Self::new(
                Code::Unauthenticated,
                "sign in first: send a session token or an API key as `Authorization: Bearer …`",
            ),
            ServiceError::Forbidden(deed) => {
                Self::new(Code::Forbidden, format!("your role, or the scopes of your key, do not allow you to {deed}"))
            }
            ServiceError::NotInPerson(deed) => Self::new(
                Code::Forbidden,
                format!("an API key is not enough to {deed}: sign in with a password (`signIn`), and send that token"),
            ),
            ServiceError::Busy(what) => Self::new(Code::Overloaded, what),
            ServiceError::UsedUp(used_up) => Self::new(Code::RateLimited, used_up.message()),
            ServiceError::TooManyAttempts(wait) => {
                let seconds = wait.as_secs() + 1;
                let message = format!("too many attempts with a wrong password: try again in {seconds} s");
                Self::new(Code::RateLimited, message)
            }
            ServiceError::Db(error) => Self::from(&*error),
            ServiceError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidToken => Self::new(
                Code::Unauthenticated,
                "the token is not valid, or no longer: sign in again, or make a new key",
            ),
            AuthError::Db(error) => Self::from(&*error),
        }
    }
}

impl From<InferenceError> for ApiError {
    /// Its message is fit for clients, whatever went wrong.
    fn from(error: InferenceError) -> Self {
        let code = match error {
            InferenceError::NoModel { .. } | InferenceError::UnknownModel { .. } => Code::NotFound,
            InferenceError::Loading { .. } => Code::ModelLoading,
            InferenceError::Overloaded { .. } | InferenceError::Stopping => Code::Overloaded,
            InferenceError::TooLong { .. } | InferenceError::BadInput(_) => Code::BadUserInput,
            InferenceError::Provider { .. } => {
                tracing::warn!(%error, "a provider of models failed");
                Code::Overloaded
            }
            InferenceError::Failed { .. } => {
                tracing::error!(%error, "a model failed");
                Code::Internal
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<ChatFailure> for ApiError {
    fn from(error: ChatFailure) -> Self {
        match error {
            ChatFailure::Service(error) => error.into(),
            ChatFailure::Inference(error) => error.into(),
            ChatFailure::TimedOut(_) => Self::new(Code::RequestTimeout, error.to_string()),
        }
    }
}

impl From<AssistFailure> for ApiError {
    fn from(error: AssistFailure) -> Self {
        match error {
            AssistFailure::Service(error) => error.into(),
            AssistFailure::Inference(error) => error.into(),
            AssistFailure::TimedOut(_) => Self::new(Code::RequestTimeout, error.to_string()),
            AssistFailure::BadOutput(_) => Self::new(Code::BadModelOutput, error.to_string()),
        }
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        Self::bad_input(error.to_string())
    }
}

impl From<SubscribeError> for ApiError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::TooOld => Self::bad_input(error.to_string()),
            SubscribeError::Db(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_the_database_says_reaches_a_client() {
        for (error, code) in [
            (DbError::unknown("relation \"users\" does not exist"), Code::Internal),
            (DbError::Constraint { constraint: "users_handle_key".to_owned() }, Code::Internal),
            (DbError::Unavailable("postgres://users:secret@there".to_owned()), Code::Overloaded),
            (DbError::Serialization, Code::Overloaded),
            (DbError::TimedOut, Code::RequestTimeout),
            (DbError::UnfitText, Code::BadUserInput),
        ] {
            let told = ApiError::from(&error);
            assert_eq!(told.code, code, "{error:?}");
            let of_service = ApiError::from(ServiceError::from(error));
            for message in [told.message, of_service.message] {
                assert!(!message.contains("users") && !message.contains("secret"), "{message}");
            }
        }
        assert_eq!(ApiError::from(ServiceError::Internal("users".into())).message, "internal error");
    }
}
