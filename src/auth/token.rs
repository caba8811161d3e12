//! Opaque secrets: session tokens, API keys and reading tokens.
//!
//! `services`, `auth` and `http` import this. The secret is shown once and only its hash is
//! stored: 256 random bits need no slow hash. The prefix tells people and secret scanners what
//! they have found. To add a kind: a variant of `TokenKind` with its prefix, and a type.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SECRET_BYTES: usize = 32;

/// How many of a key's last characters are shown in lists. 222 random bits stay hidden.
const HINT_CHARS: usize = 6;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    Session,
    ApiKey,
    /// Signs nobody in.
    Reading,
}

impl TokenKind {
    const ALL: [Self; 3] = [Self::Session, Self::ApiKey, Self::Reading];

    /// The kind of a well-formed secret; `None` for anything else.
    fn of(secret: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| secret.strip_prefix(kind.prefix()).is_some_and(is_encoded_secret))
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Session => "ink_ses_",
            Self::ApiKey => "ink_key_",
            Self::Reading => "ink_rdr_",
        }
    }
}

/// Exactly 32 bytes, in the one way base64url writes them.
fn is_encoded_secret(text: &str) -> bool {
    let mut bytes = [0; SECRET_BYTES];
    URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(SECRET_BYTES)
}

/// The SHA-256 of a secret with its prefix: what is stored and looked up.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a secret that somebody signs in with; `None`, before any hashing or look-up, if it
    /// is no well-formed session token or API key.
    pub fn of(secret: &str) -> Option<Self> {
        TokenKind::of(secret).filter(|kind| *kind != TokenKind::Reading).map(|_| Self::digest(secret))
    }

    /// A hash as it was stored; `None` unless it has 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digest(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

/// In constant time: how long it takes does not tell how much of two hashes agrees.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// What a signed-in browser or program presents. Not `Display`, so that no log line shows it.
pub struct SessionToken(String);

impl SessionToken {
    /// A new token and the hash to store.
    pub fn generate() -> (Self, TokenHash) {
        let (secret, hash) = generate(TokenKind::Session);
        (Self(secret), hash)
    }

    /// The token itself, to hand to its owner once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(ink_ses_…)")
    }
}

/// What a program signs in with for as long as its owner lets it. Not `Display`.
pub struct ApiKey(String);

impl ApiKey {
    /// A new key and the hash to store.
    pub fn generate() -> (Self, TokenHash) {
        let (secret, hash) = generate(TokenKind::ApiKey);
        (Self(secret), hash)
    }

    /// The key itself, to hand to its owner once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if `secret` is a well-formed API key, known or not.
    pub fn looks_like(secret: &str) -> bool {
        TokenKind::of(secret) == Some(TokenKind::ApiKey)
    }

    /// The key's last six characters, to tell keys apart in a list. Not a secret.
    pub fn hint(&self) -> &str {
        &self.0[self.0.len() - HINT_CHARS..]
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(ink_key_…)")
    }
}

/// What a reader without an account presents, so that the site knows what they read. It signs
/// nobody in. Not `Display`.
pub struct ReadingToken(String);

impl ReadingToken {
    /// A new token and the hash to store.
    pub fn generate() -> (Self, TokenHash) {
        let (secret, hash) = generate(TokenKind::Reading);
        (Self(secret), hash)
    }

    /// The token itself, to hand to its reader once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash of a presented token; `None` if it is no well-formed reading token.
    pub fn hash_of(secret: &str) -> Option<TokenHash> {
        (TokenKind::of(secret) == Some(TokenKind::Reading)).then(|| TokenHash::digest(secret))
    }
}

impl fmt::Debug for ReadingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadingToken(ink_rdr_…)")
    }
}

fn generate(kind: TokenKind) -> (String, TokenHash) {
    let mut bytes = [0; SECRET_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system's random source does not fail once the process has started");
    let secret = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
    let hash = TokenHash::digest(&secret);
    (secret, hash)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// 32 zero bytes: the shortest way to a well-formed secret.
    const ZEROS: &str = "ink_ses_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_generated_secret_is_recognised_by_its_hash_and_prefix() {
        let (token, hash) = SessionToken::generate();
        assert_eq!(TokenHash::of(token.expose()), Some(hash));
        assert!(!ApiKey::looks_like(token.expose()));
        let (key, hash) = ApiKey::generate();
        assert_eq!(TokenHash::of(key.expose()), Some(hash));
        assert!(ApiKey::looks_like(key.expose()));
        assert!(!ApiKey::looks_like("ink_key_"));
        assert_eq!(TokenHash::from_stored(hash.as_bytes()), Some(hash));
    }

    #[test]
    fn a_reading_token_signs_nobody_in_and_what_signs_in_is_none() {
        let (token, hash) = ReadingToken::generate();
        assert_eq!(ReadingToken::hash_of(token.expose()), Some(hash));
        assert_eq!(TokenHash::of(token.expose()), None);
        assert_eq!(ReadingToken::hash_of(SessionToken::generate().0.expose()), None);
        assert_eq!(ReadingToken::hash_of(ZEROS), None);
        assert_eq!(format!("{token:?}"), "ReadingToken(ink_rdr_…)");
    }

    #[test]
    fn no_two_secrets_are_alike() {
        let secrets: HashSet<_> = (0..100).map(|_| ApiKey::generate().0.expose().to_owned()).collect();
        assert_eq!(secrets.len(), 100);
    }

    #[test]
    fn the_hash_is_sha_256_of_the_whole_text() {
        let hash = TokenHash::of(ZEROS).expect("the secret is well formed");
        assert_eq!(hash.as_bytes()[..], Sha256::digest(ZEROS.as_bytes())[..]);
        let as_key = ZEROS.replace("ink_ses_", "ink_key_");
        assert_ne!(TokenHash::of(&as_key), Some(hash), "a session token is never an API key");
    }

    #[test]
    fn what_is_not_shaped_like_a_secret_has_no_hash() {
        let body = &ZEROS["ink_ses_".len()..];
        for text in [
            "",
            "ink_ses_",
            body,
            &format!("ink_adm_{body}"),
            &format!("INK_SES_{body}"),
            &format!(" {ZEROS}"),
            &format!("{ZEROS} "),
            &format!("{ZEROS}="),
            &format!("{ZEROS}A"),
            &ZEROS[..ZEROS.len() - 1],
            // The last character holds four bits; a set fifth or sixth would make two spellings.
            &format!("{}B", &ZEROS[..ZEROS.len() - 1]),
            &format!("{}+", &ZEROS[..ZEROS.len() - 1]),
            &format!("{}墨", &ZEROS[..ZEROS.len() - 3]),
        ] {
            assert_eq!(TokenHash::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn stored_hashes_have_32_bytes() {
        assert_eq!(TokenHash::from_stored(&[0; 31]), None);
        assert_eq!(TokenHash::from_stored(&[0; 33]), None);
        assert_ne!(TokenHash::from_stored(&[0; 32]), TokenHash::from_stored(&[1; 32]));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (token, hash) = SessionToken::generate();
        let (key, _) = ApiKey::generate();
        assert_eq!(format!("{token:?} {key:?} {hash:?}"), "SessionToken(ink_ses_…) ApiKey(ink_key_…) TokenHash(…)");
    }

    #[test]
    fn a_hint_is_the_end_of_the_key() {
        let (key, _) = ApiKey::generate();
        assert_eq!(key.hint().len(), 6);
        assert!(key.expose().ends_with(key.hint()));
    }

    proptest! {
        #[test]
        fn only_well_formed_secrets_have_hashes(bytes: Vec<u8>, text in "\\PC*") {
            let secret = format!("ink_key_{}", URL_SAFE_NO_PAD.encode(&bytes));
            prop_assert_eq!(TokenHash::of(&secret).is_some(), bytes.len() == SECRET_BYTES);
            prop_assert_eq!(TokenHash::of(&text), None);
        }

        #[test]
        fn every_32_bytes_make_a_secret(bytes: [u8; 32]) {
            let secret = format!("ink_ses_{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert!(TokenHash::of(&secret).is_some());
        }
    }
}
