//! The opaque place in the log that clients keep and give back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::events::LogPosition;

/// A client's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub(super) LogPosition);

/// A text that is no cursor of this log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an event cursor: pass back the `cursor` of an event you received, unchanged")]
pub struct CursorError(String);

impl Cursor {
    /// The cursor of an event.
    pub fn at(position: LogPosition) -> Self {
        Self(position)
    }

    /// Opaque to clients, safe in URLs and headers.
    pub fn encode(self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.xid.to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.id.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Errors: anything that [`Cursor::encode`] did not make.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let refuse = || CursorError(text.chars().take(64).collect());
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok()).ok_or_else(refuse)?;
        let half = |at: usize| i64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let (xid, id) = (half(0), half(8));
        if xid < 0 || id < 0 {
            return Err(refuse());
        }
        Ok(Self(LogPosition { xid, id }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(xid in 0..i64::MAX, id in 0..i64::MAX) {
            let cursor = Cursor(LogPosition { xid, id });
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_other_text_is_refused_or_means_itself(text in ".{0,40}") {
            if let Ok(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }

    #[test]
    fn negative_positions_are_refused() {
        assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode([0xff; 16])).is_err());
    }
}
