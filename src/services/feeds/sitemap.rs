//! The sitemap, as sitemaps.org describes it, with the languages of a piece beside each other.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};

use super::Addresses;
use super::xml::Xml;
use crate::services::{ServiceError, Services};
use crate::store::posts::{self, PostAddress};

/// Most posts, with the front page as the 50,000th address that a sitemap may have.
const MAX_POSTS: u32 = 49_999;
/// A post names at most this many languages of its piece, so that the file stays below 50 MB.
const MAX_ALTERNATES: usize = 50;

const NAMESPACES: &[(&str, &str)] =
    &[("xmlns", "http://www.sitemaps.org/schemas/sitemap/0.9"), ("xmlns:xhtml", "http://www.w3.org/1999/xhtml")];

/// The newest published posts, and when something last changed.
pub(super) async fn gather(services: &Services) -> Result<(Vec<PostAddress>, DateTime<Utc>), ServiceError> {
    let mut conn = services.db.conn().await?;
    let posts = posts::addresses(&mut conn, MAX_POSTS).await?;
    let changed_at = super::changed_at(&mut conn, posts.iter().map(|post| post.updated_at)).await?;
    Ok((posts, changed_at))
}

pub(super) fn write(posts: &[PostAddress], addresses: &Addresses) -> String {
    let mut groups: HashMap<&str, Vec<&PostAddress>> = HashMap::new();
    for post in posts {
        groups.entry(post.group_key.as_deref().unwrap_or_default()).or_default().push(post);
    }
    groups.remove("");
    Xml::document("urlset", NAMESPACES, |xml| {
        xml.element("url", &[], |xml| xml.text("loc", &[], &addresses.home()));
        for post in posts {
            let group = post.group_key.as_deref().and_then(|key| groups.get(key));
            let group = group.map(Vec::as_slice).unwrap_or_default();
            write_post(xml, post, group, addresses);
        }
    })
}

fn write_post(xml: &mut Xml, post: &PostAddress, group: &[&PostAddress], addresses: &Addresses) {
    let address = |post: &PostAddress| addresses.post(post.kind, &post.slug, &post.language);
    let changed = post.updated_at.max(post.listed_at);
    xml.element("url", &[], |xml| {
        xml.text("loc", &[], &address(post));
        xml.text("lastmod", &[], &changed.to_rfc3339_opts(SecondsFormat::Secs, true));
        // Each language names all, itself included, or the others are not believed.
        if group.len() > 1 {
            for other in group.iter().take(MAX_ALTERNATES) {
                let (language, href) = (other.language.as_str(), address(other));
                xml.empty("xhtml:link", &[("rel", "alternate"), ("hreflang", language), ("href", &href)]);
            }
        }
    });
}
