//! Feeds and the sitemap: the site for programs that know nothing of GraphQL.
//!
//! [`feed`] and [`sitemap`] give whole documents, through the cache. `compose.rs` says what is in a
//! feed, the same for every format; `rss.rs`, `atom.rs` and `json.rs` write it down; `address.rs`
//! knows where everything is to be found. Only published posts are ever read here, so nobody has to
//! be asked who they are. Imported by `http` and `app`.
//!
//! To add a format: a variant of [`Format`] and a file with a function from the feed to its text.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::digest::digits;
use super::{ServiceError, Services, caching};
use crate::store::{Conn, DbError, events};

mod address;
mod atom;
mod compose;
mod json;
mod rss;
mod sitemap;
mod xml;

#[cfg(test)]
mod tests;

pub use address::{Addresses, Format, Scope};

/// Entries of a feed.
const MAX_ENTRIES: u32 = 30;
/// A longer post is in feeds with its summary only: html of 256 KiB is a short book.
const MAX_HTML_BYTES: i32 = 256 * 1024;
/// What `generator` elements say.
const GENERATOR: &str = "Inkstone";
const GENERATOR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A document as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub text: String,
    /// Weak and quoted, made from the text.
    pub etag: String,
    /// When something changed that documents are made of: not before this text came to be.
    pub changed_at: DateTime<Utc>,
}

impl Document {
    fn new(text: String, changed_at: DateTime<Utc>) -> Self {
        let etag = format!("W/\"{}\"", digits([text.as_bytes()]));
        Self { text, etag, changed_at }
    }
}

/// The feed of this scope; `None` if no published post has such a tag, or nothing in this language.
pub async fn feed(
    services: &Services,
    addresses: &Addresses,
    scope: &Scope,
    format: Format,
) -> Result<Option<Arc<Document>>, ServiceError> {
    if !scope.is_well_formed() {
        return Ok(None);
    }
    let make = async {
        let Some(content) = compose::gather(services, scope).await? else { return Ok(None) };
        let (addresses, scope) = (addresses.clone(), scope.clone());
        let write = move || write(&content, &addresses, &scope, format);
        Ok(Some(off_thread(write).await?))
    };
    caching::document(services, &addresses.cache_name(&addresses.feed(scope, format)), make).await
}

fn write(content: &compose::Content, addresses: &Addresses, scope: &Scope, format: Format) -> Document {
    let feed = compose::compose(content, addresses, scope, format);
    let text = match format {
        Format::Rss => rss::write(&feed),
        Format::Atom => atom::write(&feed),
        Format::Json => json::write(&feed),
    };
    Document::new(text, content.changed_at)
}

/// The addresses of everything that is published.
pub async fn sitemap(services: &Services, addresses: &Addresses) -> Result<Option<Arc<Document>>, ServiceError> {
    let make = async {
        let (posts, changed_at) = sitemap::gather(services).await?;
        let addresses = addresses.clone();
        let write = move || Document::new(sitemap::write(&posts, &addresses), changed_at);
        Ok(Some(off_thread(write).await?))
    };
    caching::document(services, &addresses.cache_name(&addresses.sitemap()), make).await
}

/// What crawlers may visit: everything that is for people.
pub fn robots(addresses: &Addresses) -> String {
    format!("User-agent: *\nAllow: /\nDisallow: /graphql\n\nSitemap: {}\n", addresses.sitemap())
}

/// Long texts are written where they hold nobody up.
async fn off_thread(write: impl FnOnce() -> Document + Send + 'static) -> Result<Document, ServiceError> {
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(|error| ServiceError::Internal(format!("writing a feed failed: {error}")))
}

/// When something last changed that documents are made of. A log without it has been pruned, and then
/// it is the newest date of what is still there.
async fn changed_at(conn: &mut Conn, dates: impl Iterator<Item = DateTime<Utc>>) -> Result<DateTime<Utc>, DbError> {
    let told = events::last_at(conn, caching::EDITION_KINDS).await?;
    Ok(told.or_else(|| dates.max()).unwrap_or(DateTime::UNIX_EPOCH))
}
