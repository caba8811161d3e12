//! Pages of lists as everybody sees them, kept until anything on such a list changes.
//!
//! A page is named after the edition of its list. Where a page may have changed the list has another
//! edition: nobody asks for pages of the old one any more, and in time others take their room.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::edition;
use crate::cache::CacheKey;
use crate::services::{ServiceError, Services};
use crate::store::comments::{self, CommentOrder, CommentParent, CommentRow};
use crate::store::posts::{self, PostFilter, PostOrder, PostParent, PostRow};
use crate::store::{Page, PageOf, Sight};

/// Of all lists of posts.
pub(super) const POSTS_EDITION: &str = "posts_edition";
/// Of the lists of comments on a post.
pub(super) const COMMENTS_EDITION: &str = "comments_edition";
const POSTS_PAGE: &str = "posts_page";
const POSTS_UNDER: &str = "posts_under";
const COMMENTS_PAGE: &str = "comments_page";

/// A page of posts.
pub type PostPage = Arc<PageOf<Arc<PostRow>>>;
/// A page of comments.
pub type CommentPage = Arc<PageOf<Arc<CommentRow>>>;

/// What a page is called among those of its kind.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name<'a> {
    edition: Uuid,
    /// What the list belongs to.
    parent: Uuid,
    /// Its order, and what else tells it from others of this parent.
    list: &'a str,
    page: &'a Page,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Page { limit, after, before, from_end } = self.page;
        // Edition and parent in one: a key of up to 48 bytes takes one allocation less. Editions are random,
        // so no two of them lead from two parents to the same.
        let both = Uuid::from_u128(self.edition.as_u128() ^ self.parent.as_u128());
        write!(f, "{}{}{limit}", both.simple(), if *from_end { "l" } else { "f" })?;
        for (sign, position) in [('>', after), ('<', before)] {
            if let Some(position) = position {
                write!(f, "{sign}{position:?}")?;
            }
        }
        f.write_str(self.list)
    }
}

/// Published posts that match.
pub async fn posts(
    services: &Services,
    filter: &PostFilter,
    order: PostOrder,
    page: &Page,
) -> Result<PostPage, ServiceError> {
    let list = if *filter == PostFilter::default() { format!("{order:?}") } else { format!("{order:?}{filter:?}") };
    let edition = edition(services, POSTS_EDITION).await?;
    let name = Name { edition, parent: Uuid::nil(), list: &list, page };
    let load = async {
        let rows = posts::page(&mut *services.db.conn().await?, filter, order, page, Sight::Public).await?;
        Ok::<_, ServiceError>(Some(rows.map(Arc::new)))
    };
    let found = services.cache.get_or_load(&CacheKey::new(POSTS_PAGE, name), load).await?;
    Ok(found.unwrap_or_default())
}

/// Published posts under each parent. Not under entities: these change with the graph.
pub async fn posts_under(
    services: &Services,
    parent: PostParent,
    ids: &[Uuid],
    page: &Page,
) -> Result<HashMap<Uuid, PostPage>, ServiceError> {
    let (edition, list) = (edition(services, POSTS_EDITION).await?, list_under(parent));
    let names: Vec<_> = ids.iter().map(|&id| Name { edition, parent: id, list, page }).collect();
    let load = services.cache.get_or_load_many(POSTS_UNDER, &names, |missing| {
        let ids: Vec<Uuid> = missing.iter().map(|name| name.parent).collect();
        async move {
            let mut conn = services.db.conn().await?;
            let found = posts::page_by_parent(&mut conn, parent, &ids, page, Sight::Public).await?;
            Ok::<_, ServiceError>(named(missing, found))
        }
    });
    let found = load.await?;
    Ok(found.into_iter().map(|(name, page)| (name.parent, page)).collect())
}

/// The same, if this process holds it.
pub fn held_posts_under(services: &Services, parent: PostParent, id: Uuid, page: &Page) -> Option<PostPage> {
    let edition: Arc<Uuid> = services.cache.held(&CacheKey::new(POSTS_EDITION, ""))?;
    let name = Name { edition: *edition, parent: id, list: list_under(parent), page };
    services.cache.held(&CacheKey::new(POSTS_UNDER, name))
}

/// Comments on each post that answer no other.
pub async fn comments_on(
    services: &Services,
    post_ids: &[Uuid],
    order: CommentOrder,
    page: &Page,
) -> Result<HashMap<Uuid, CommentPage>, ServiceError> {
    let begin = |missing: Vec<Uuid>| async move {
        Ok::<_, ServiceError>(missing.into_iter().map(|id| (id, Uuid::now_v7())).collect::<HashMap<_, _>>())
    };
    let editions = services.cache.get_or_load_many(COMMENTS_EDITION, post_ids, begin).await?;
    let list = list_on(order);
    let names: Vec<_> =
        editions.iter().map(|(&parent, edition)| Name { edition: **edition, parent, list, page }).collect();
    let load = services.cache.get_or_load_many(COMMENTS_PAGE, &names, |missing| {
        let ids: Vec<Uuid> = missing.iter().map(|name| name.parent).collect();
        async move {
            let (mut conn, parent) = (services.db.conn().await?, CommentParent::Post);
            let found = comments::page_by_parent(&mut conn, parent, &ids, order, page, Sight::Public).await?;
            Ok::<_, ServiceError>(named(missing, found))
        }
    });
    let found = load.await?;
    Ok(found.into_iter().map(|(name, page)| (name.parent, page)).collect())
}

/// The same, if this process holds it.
pub fn held_comments_on(services: &Services, post_id: Uuid, order: CommentOrder, page: &Page) -> Option<CommentPage> {
    let edition: Arc<Uuid> = services.cache.held(&CacheKey::new(COMMENTS_EDITION, post_id))?;
    let name = Name { edition: *edition, parent: post_id, list: list_on(order), page };
    services.cache.held(&CacheKey::new(COMMENTS_PAGE, name))
}

/// A page for each name; an empty one is as good as any.
fn named<'a, Row>(names: Vec<Name<'a>>, mut found: HashMap<Uuid, PageOf<Row>>) -> HashMap<Name<'a>, PageOf<Arc<Row>>> {
    let page = |name: Name<'a>| {
        let rows = found.remove(&name.parent).unwrap_or_default();
        (name, rows.map(Arc::new))
    };
    names.into_iter().map(page).collect()
}

fn list_under(parent: PostParent) -> &'static str {
    match parent {
        PostParent::Author => "author",
        PostParent::Tag => "tag",
        PostParent::Series => "series",
        PostParent::Entity => "entity",
    }
}

fn list_on(order: CommentOrder) -> &'static str {
    match order {
        CommentOrder::OldestFirst => "old",
        CommentOrder::NewestFirst => "new",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Key, Position};

    #[test]
    fn pages_that_differ_have_names_that_differ() {
        let at = |text: &str| Some(Position { key: Key::Text(text.into()), id: Uuid::nil() });
        let page = |limit, from_end, after, before| Page { limit, after, before, from_end };
        let pages = [
            page(3, false, None, None),
            page(3, true, None, None),
            page(33, false, None, None),
            page(3, false, at("a"), None),
            page(3, false, None, at("a")),
            page(3, false, at("a"), at("b")),
            page(3, false, at("a\"<b"), None),
        ];
        let ids = [Uuid::from_u128(7), Uuid::from_u128(8)];
        let mut names = std::collections::HashSet::new();
        for (edition, parent) in [(ids[0], ids[0]), (ids[0], ids[1]), (Uuid::from_u128(1 << 80), ids[0])] {
            for list in ["old", "new"] {
                names.extend(pages.iter().map(|page| Name { edition, parent, list, page }.to_string()));
            }
        }
        assert_eq!(names.len(), 3 * 2 * pages.len());
        let first = Name { edition: ids[0], parent: ids[1], list: "old", page: &pages[0] }.to_string();
        assert!(first.len() <= 48, "{first}");
    }
}
