//! What can go wrong between us and Postgres, sorted by what a caller can do about it.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

/// An error of the store. Its text is for logs; nothing of it is shown to clients.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection in time: Postgres is away, or the pool is exhausted.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// A statement or the whole call took longer than its limit.
    #[error("the database did not answer in time")]
    TimedOut,
    /// A unique or foreign key constraint refused the change.
    #[error("constraint {constraint} refused the change")]
    Constraint { constraint: String },
    /// Another transaction changed the same rows at the same time; trying again may help.
    #[error("a concurrent transaction interfered")]
    Serialization,
    /// A text holds a character that Postgres cannot: NUL.
    #[error("a text holds a NUL character")]
    UnfitText,
    /// Anything else: a defect of ours or a broken database.
    #[error("a statement failed")]
    Other(#[source] DieselError),
}

impl DbError {
    /// True if the constraint `name` was what refused the change.
    pub fn is_constraint(&self, name: &str) -> bool {
        matches!(self, Self::Constraint { constraint } if constraint == name)
    }

    /// True if the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut | Self::Serialization)
    }

    /// What Postgres said and this program knows nothing about.
    #[cfg(test)]
    pub(crate) fn unknown(said: &str) -> Self {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(said.to_owned())).into()
    }
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = &error else { return Self::Other(error) };
        match kind {
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::CheckViolation => {
                Self::Constraint { constraint: info.constraint_name().unwrap_or("(unnamed)").to_owned() }
            }
            DatabaseErrorKind::SerializationFailure => Self::Serialization,
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Self::Unavailable(info.message().to_owned())
            }
            _ if info.message().contains("statement timeout") => Self::TimedOut,
            _ if info.message().starts_with("invalid byte sequence for encoding") => Self::UnfitText,
            // The same in jsonb, where the character is written as an escape.
            _ if info.message().starts_with("unsupported Unicode escape sequence") => Self::UnfitText,
            _ if is_shutdown(info.message()) => Self::Unavailable(info.message().to_owned()),
            _ => Self::Other(error),
        }
    }
}

/// Postgres going down or coming up answers queries with these instead of closing at once.
fn is_shutdown(message: &str) -> bool {
    message.starts_with("terminating connection")
        || message.starts_with("the database system is")
        || message == "connection closed"
}

impl From<ConnectionError> for DbError {
    fn from(error: ConnectionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<diesel_async::pooled_connection::PoolError> for DbError {
    fn from(error: diesel_async::pooled_connection::PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_says_is_told_apart() {
        let said = |kind, text: &str| DbError::from(DieselError::DatabaseError(kind, Box::new(text.to_owned())));
        assert!(matches!(DbError::unknown("relation \"users\" does not exist"), DbError::Other(_)));
        assert!(matches!(DbError::unknown("canceling statement due to statement timeout"), DbError::TimedOut));
        assert!(matches!(DbError::unknown("invalid byte sequence for encoding \"UTF8\""), DbError::UnfitText));
        assert!(matches!(DbError::unknown("the database system is starting up"), DbError::Unavailable(_)));
        assert!(matches!(said(DatabaseErrorKind::UniqueViolation, "twice"), DbError::Constraint { .. }));
        assert!(matches!(said(DatabaseErrorKind::SerializationFailure, "of users"), DbError::Serialization));
        assert!(matches!(said(DatabaseErrorKind::ClosedConnection, "to users"), DbError::Unavailable(_)));
    }
}
