//! What is in a feed, whatever the format.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Addresses, Format, MAX_ENTRIES, MAX_HTML_BYTES, Scope};
use crate::services::{ServiceError, Services, markdown, organising};
use crate::store::Sight;
use crate::store::posts::{self, PostFilter, PostKind, PostRow};
use crate::store::site::{self, SiteRow};
use crate::store::tags::{self, TagRow};
use crate::store::users::{self, UserRow};

/// The rows that feeds of one scope are made from.
pub(super) struct Content {
    pub site: SiteRow,
    /// The tag that the feed is about.
    pub tag: Option<TagRow>,
    /// With their html, unless it is too long.
    pub posts: Vec<(PostRow, Option<String>)>,
    pub tags: HashMap<Uuid, Vec<TagRow>>,
    pub authors: HashMap<Uuid, UserRow>,
    pub changed_at: DateTime<Utc>,
}

/// A feed, ready to be written down. All addresses are absolute.
pub(super) struct Feed {
    pub title: String,
    pub description: String,
    pub language: String,
    pub home: String,
    /// Its own address.
    pub address: String,
    pub updated: DateTime<Utc>,
    pub entries: Vec<Entry>,
}

/// A post in a feed.
pub(super) struct Entry {
    /// Stays the same whatever happens to the post.
    pub id: String,
    pub address: String,
    pub title: String,
    /// Plain text.
    pub summary: String,
    pub html: Option<String>,
    pub language: String,
    pub image: Option<String>,
    pub published: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    pub author: Option<Author>,
    pub tags: Vec<Tag>,
}

pub(super) struct Author {
    pub name: String,
    pub address: Option<String>,
}

pub(super) struct Tag {
    pub slug: String,
    pub name: String,
}

/// Reads what a feed needs: five statements, one more for a tag's, however many entries there are.
///
/// `None` if no published post has such a tag, or nothing in this language and the site is in another one.
pub(super) async fn gather(services: &Services, scope: &Scope) -> Result<Option<Content>, ServiceError> {
    let mut conn = services.db.conn().await?;
    let conn = &mut *conn;
    let tag = match scope {
        Scope::Tag(slug) => match tags::by_slug(conn, slug.clone(), Sight::Public).await? {
            Some(tag) => Some(tag),
            None => return Ok(None),
        },
        Scope::Everything | Scope::Language(_) => None,
    };
    let site = site::find(conn).await?.unwrap_or_else(|| organising::undescribed(DateTime::UNIX_EPOCH));
    let posts = posts::newest(conn, &filter(scope), MAX_ENTRIES, MAX_HTML_BYTES).await?;
    if let Scope::Language(language) = scope
        && posts.is_empty()
        && *language != site.language
    {
        return Ok(None);
    }
    let ids: Vec<Uuid> = posts.iter().map(|(post, _)| post.id).collect();
    let mut author_ids: Vec<Uuid> = posts.iter().map(|(post, _)| post.author_id).collect();
    author_ids.sort_unstable();
    author_ids.dedup();
    let tags = tags::by_posts(conn, &ids).await?;
    let authors = users::by_ids(conn, &author_ids).await?.into_iter().map(|author| (author.id, author)).collect();
    let dates = posts.iter().map(|(post, _)| post.updated_at).chain([site.updated_at]);
    let changed_at = super::changed_at(conn, dates).await?;
    Ok(Some(Content { site, tag, posts, tags, authors, changed_at }))
}

fn filter(scope: &Scope) -> PostFilter {
    let kinds = vec![PostKind::Article, PostKind::Note];
    match scope {
        Scope::Everything => PostFilter { kinds, ..PostFilter::default() },
        Scope::Tag(slug) => PostFilter { kinds, tag_slug: Some(slug.clone()), ..PostFilter::default() },
        Scope::Language(tag) => PostFilter { kinds, language: Some(tag.clone()), ..PostFilter::default() },
    }
}

/// The feed that this content makes.
pub(super) fn compose(content: &Content, addresses: &Addresses, scope: &Scope, format: Format) -> Feed {
    let site = &content.site;
    let described = [&site.description, &site.tagline, &site.title].into_iter().find(|text| !text.is_empty());
    let about = content.tag.as_ref().map(|tag| tag.description.clone()).filter(|text| !text.is_empty());
    let entries: Vec<Entry> = content.posts.iter().map(|(row, html)| entry(content, addresses, row, html)).collect();
    Feed {
        title: match (scope, &content.tag) {
            (Scope::Tag(_), Some(tag)) => format!("{} · {}", site.title, tag.name),
            (Scope::Language(language), _) => format!("{} ({language})", site.title),
            _ => site.title.clone(),
        },
        description: about.or(described.cloned()).unwrap_or_default(),
        language: match scope {
            Scope::Language(language) => language.clone(),
            Scope::Everything | Scope::Tag(_) => site.language.clone(),
        },
        home: addresses.home(),
        address: addresses.feed(scope, format),
        updated: entries.iter().map(|entry| entry.updated).max().unwrap_or(site.updated_at),
        entries,
    }
}

fn entry(content: &Content, addresses: &Addresses, row: &PostRow, html: &Option<String>) -> Entry {
    let address = addresses.post(row.kind, &row.slug, &row.language);
    let published = row.published_at.unwrap_or(row.listed_at);
    let author = content.authors.get(&row.author_id);
    let tags = content.tags.get(&row.id).map(Vec::as_slice).unwrap_or_default();
    Entry {
        id: row.id.urn().to_string(),
        title: row.title.clone(),
        summary: row.description.clone().unwrap_or_else(|| row.excerpt.clone()),
        html: html.as_ref().map(|html| markdown::for_elsewhere(html, &address)),
        language: row.language.clone(),
        image: row.cover.as_ref().map(|cover| markdown::resolved(cover, &address)),
        published,
        updated: row.updated_at.max(published),
        author: author.map(|author| Author { name: author.name.clone(), address: author.url.clone() }),
        tags: tags.iter().map(|tag| Tag { slug: tag.slug.clone(), name: tag.name.clone() }).collect(),
        address,
    }
}
