//! What a text is known by where it must not stand itself, or is too long.

use sha2::{Digest, Sha256};

/// The first 16 bytes of the SHA-256 of all parts in a row, as hexadecimal digits.
pub fn digits<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
