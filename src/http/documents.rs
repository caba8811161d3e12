//! Operations that clients name instead of sending: automatic persisted queries, and the owner's
//! list of trusted documents.
//!
//! A persisted query is kept when a client sends it together with its hash, in this process and,
//! for the other replicas, in the cache behind it. It is forgotten at any time: the client is told
//! so and sends it again. Trusted documents are read from a file when the server starts.
//!
//! Source: Apollo's automatic persisted queries and manifest format; Relay's and GraphQL Code
//! Generator's map of hashes to documents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use async_graphql::{Request, Value};
use moka::sync::Cache as Local;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::auth::Viewer;
use crate::cache::{Cache, CacheKey, CacheLoadTimeout};
use crate::config::Untrusted;
use crate::error::{ApiError, Code};
use crate::store::Sight;

/// Where a request names its document, in `extensions`.
pub const PERSISTED: &str = "persistedQuery";

const KIND: &str = "document";
/// Memory for persisted queries in this process.
const LOCAL_BYTES: u64 = 16 << 20;
/// Longest text that is kept for who sends it with its hash.
const MAX_KEPT_BYTES: usize = 64 << 10;
const MAX_ID_BYTES: usize = 256;
/// Largest list of trusted documents.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Every document that can be named.
pub struct Documents {
    trusted: Trusted,
    /// Who may run others.
    untrusted: Untrusted,
    local: Local<String, Arc<str>>,
    shared: Cache,
}

/// What is known of a request's document.
pub struct Found {
    /// It is on the owner's list.
    pub trusted: bool,
    /// The hash to keep it under, once it is known to be good.
    pub keep_as: Option<String>,
}

/// Why a document that is not held here cannot be had elsewhere either.
#[derive(Clone)]
struct Unknown;

impl From<CacheLoadTimeout> for Unknown {
    fn from(_: CacheLoadTimeout) -> Self {
        Self
    }
}

impl Documents {
    pub fn new(trusted: Trusted, untrusted: Untrusted, shared: Cache) -> Self {
        let weigh = |id: &String, text: &Arc<str>| u32::try_from(id.len() + text.len()).unwrap_or(u32::MAX);
        Self { trusted, untrusted, local: Local::builder().max_capacity(LOCAL_BYTES).weigher(weigh).build(), shared }
    }

    /// Puts the text of the document that a request names into the request.
    ///
    /// Errors: `PERSISTED_QUERY_NOT_FOUND` for a hash that nobody sent the text of,
    /// `BAD_USER_INPUT` for one that is not the text's, and for no document at all.
    pub async fn find(&self, request: &mut Request) -> Result<Found, ApiError> {
        let Some(id) = named(request)? else {
            if request.query.trim().is_empty() {
                return Err(ApiError::bad_input("`query` is missing or empty: send a GraphQL document"));
            }
            return Ok(Found { trusted: self.trusted.holds(&request.query), keep_as: None });
        };
        if let Some(text) = self.trusted.documents.get(&id) {
            if !request.query.is_empty() && request.query != **text {
                return Err(ApiError::bad_input("this server's trusted document of this id is another than `query`"));
            }
            request.query = text.to_string();
            return Ok(Found { trusted: true, keep_as: None });
        }
        if request.query.is_empty() {
            request.query = Box::pin(self.kept(&id)).await?.to_string();
            return Ok(Found { trusted: self.trusted.holds(&request.query), keep_as: None });
        }
        if !id.eq_ignore_ascii_case(&hash(&request.query)) {
            let message =
                "sha256Hash is not the SHA-256 of `query`, in hexadecimal digits: send both as they belong together";
            return Err(ApiError::bad_input(message));
        }
        let keep = self.local.get(&id).is_none() && request.query.len() <= MAX_KEPT_BYTES;
        Ok(Found { trusted: self.trusted.holds(&request.query), keep_as: keep.then_some(id) })
    }

    async fn kept(&self, id: &str) -> Result<Arc<str>, ApiError> {
        let is_hash = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unknown = || ApiError::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound");
        if !is_hash {
            return Err(unknown());
        }
        if let Some(text) = self.local.get(id) {
            return Ok(text);
        }
        let key = CacheKey::new(KIND, id);
        match self.shared.get_or_load::<String, _, _>(&key, async { Err(Unknown) }).await {
            // Redis is not ours alone: what comes out of it is believed because of its hash.
            Ok(Some(text)) if hash(&text) == id => {
                let text: Arc<str> = text.as_str().into();
                self.local.insert(id.to_owned(), text.clone());
                Ok(text)
            }
            _ => Err(unknown()),
        }
    }

    /// Keeps a text for who will name it by its hash.
    pub async fn keep(&self, id: String, text: &str) {
        let key = CacheKey::new(KIND, &id);
        // At most once more: the first may be told what a reader of the same moment found.
        for _ in 0..2 {
            if self.shared.get_or_load(&key, async { Ok::<_, Unknown>(Some(text.to_owned())) }).await.is_ok() {
                break;
            }
        }
        self.local.insert(id, text.into());
    }

    /// Errors: `FORBIDDEN` for an operation that is not on the list, from who may run only those.
    pub fn permit(&self, viewer: &Viewer, trusted: bool) -> Result<(), ApiError> {
        let allowed = match self.untrusted {
            Untrusted::Anybody => true,
            Untrusted::SignedIn => viewer.user().is_some(),
            Untrusted::Staff => viewer.sight() == Sight::Everything,
        };
        if trusted || allowed {
            return Ok(());
        }
        let message = "this server runs only the operations of its list of trusted documents for you: name one of them, or sign in";
        Err(ApiError::new(Code::Forbidden, message))
    }
}

/// The id by which a request names its document.
fn named(request: &Request) -> Result<Option<String>, ApiError> {
    let wrong = || {
        let most = MAX_ID_BYTES;
        ApiError::bad_input(format!(
            "extensions.{PERSISTED} is not understood: expected {{\"version\": 1, \"sha256Hash\": \"…\"}} with at most {most} bytes"
        ))
    };
    match request.extensions.get(PERSISTED) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(persisted)) => {
            if persisted.get("version") != Some(&Value::from(1)) {
                return Err(wrong());
            }
            match persisted.get("sha256Hash") {
                Some(Value::String(id)) if id.len() <= MAX_ID_BYTES => Ok(Some(id.clone())),
                _ => Err(wrong()),
            }
        }
        Some(_) => Err(wrong()),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut digits, byte| {
        // Writing into a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The owner's list: documents by id.
#[derive(Default)]
pub struct Trusted {
    documents: HashMap<String, Arc<str>>,
    texts: HashSet<Arc<str>>,
}

/// A list of trusted documents that cannot be used; says which part of it is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it cannot be read")]
    Unreadable(#[from] std::io::Error),
    #[error("it is larger than {} MiB", MAX_MANIFEST_BYTES >> 20)]
    TooLarge,
    #[error(
        "it is no list of documents: expected {{\"id\": \"document\", …}}, as Relay and GraphQL Code Generator \
         write it, or Apollo's persisted query manifest"
    )]
    Malformed(#[from] serde_json::Error),
    #[error("it has two documents of the id {0:?}")]
    Twice(String),
    #[error("the document {id:?} is no GraphQL")]
    Document {
        id: String,
        #[source]
        error: Box<async_graphql::parser::Error>,
    },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither of the two")]
enum Manifest {
    Apollo { operations: Vec<Operation> },
    Map(BTreeMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

impl Trusted {
    /// Reads the list.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        if std::fs::metadata(path)?.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        Self::of(&std::fs::read(path)?)
    }

    fn of(json: &[u8]) -> Result<Self, ManifestError> {
        let listed: Vec<(String, String)> = match serde_json::from_slice(json)? {
            Manifest::Apollo { operations } => operations.into_iter().map(|one| (one.id, one.body)).collect(),
            Manifest::Map(documents) => documents.into_iter().collect(),
        };
        let mut trusted = Self::default();
        for (id, text) in listed {
            if let Err(error) = async_graphql::parser::parse_query(&text) {
                return Err(ManifestError::Document { id, error: Box::new(error) });
            }
            let text: Arc<str> = text.into();
            trusted.texts.insert(text.clone());
            if trusted.documents.insert(id.clone(), text).is_some() {
                return Err(ManifestError::Twice(id));
            }
        }
        Ok(trusted)
    }

    fn holds(&self, text: &str) -> bool {
        self.texts.contains(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_list_are_read() {
        let apollo = r#"{"format": "apollo-persisted-query-manifest", "version": 1,
            "operations": [{"id": "a1", "name": "Title", "type": "query", "body": "query Title { site { title } }"}]}"#;
        let map = r#"{"a1": "query Title { site { title } }"}"#;
        for json in [apollo, map] {
            let trusted = Trusted::of(json.as_bytes()).expect("the list is read");
            assert!(trusted.holds("query Title { site { title } }"), "{json}");
            assert_eq!(trusted.documents["a1"].as_ref(), "query Title { site { title } }");
            assert!(!trusted.holds("{ site { title } }"), "another text is not on it");
        }
    }

    #[test]
    fn what_is_wrong_with_a_list_is_told() {
        for (json, told) in [
            ("", "no list of documents"),
            ("[]", "no list of documents"),
            (r#"{"a": 1}"#, "no list of documents"),
            (r#"{"a": "query {"}"#, "\"a\" is no GraphQL"),
            (
                r#"{"operations": [{"id": "a", "body": "{a}"}, {"id": "a", "body": "{b}"}]}"#,
                "two documents of the id \"a\"",
            ),
        ] {
            let error = Trusted::of(json.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told), "{json}: {error}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_clients() {
        // Out of Apollo's documentation: `{__typename}`.
        assert_eq!(hash("{__typename}"), "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38");
    }
}
