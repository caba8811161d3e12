//! A whole site as one value: all of its content, and none of its ids.

use std::collections::{BTreeMap, HashMap};

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use inkstone::services::Services;
use inkstone::store::posts::{self, PostBodyRow, PostFilter, PostOrder, PostRow};
use inkstone::store::{
    Conn, Page, Position, Sight, comments, reactions, schema, series, site, tags, translations, users,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Everything that an export is there to keep.
pub async fn content(services: &Services) -> Value {
    let mut conn = services.db.conn().await.expect("a connection");
    let people = all_users(&mut conn).await;
    let handles: HashMap<Uuid, String> = people.iter().map(|user| (user.id, user.handle.clone())).collect();
    let posts = all_posts(&mut conn).await;
    let site = site::find(&mut conn).await.expect("an answer");
    json!({
        "site": site.map(|row| json!({
            "title": row.title, "tagline": row.tagline, "description": row.description,
            "language": row.language, "links": row.links,
        })),
        "users": by_name(people.iter().map(|user| (user.handle.clone(), json!({
            "name": user.name, "role": user.role, "bio": user.bio, "url": user.url, "avatar": user.avatar,
        })))),
        "tags": by_name(tags::all(&mut conn).await.expect("tags").into_iter().map(|tag| (tag.slug, json!({
            "name": tag.name, "description": tag.description,
        })))),
        "series": by_name(series::all(&mut conn).await.expect("series").into_iter().map(|row| (row.slug, json!({
            "title": row.title, "description": row.description, "language": row.language,
        })))),
        "posts": posts_by_slug(&mut conn, &posts, &handles).await,
        "comments": comments_by_key(&mut conn, &posts, &handles).await,
        "reactions": all_reactions(&mut conn, &posts).await,
    })
}

/// The part of [`content`] about one post.
pub async fn post(services: &Services, slug: &str) -> Value {
    let found = content(services).await["posts"][slug].take();
    assert!(!found.is_null(), "there should be a post {slug:?}");
    found
}

fn by_name(rows: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, Value> {
    rows.collect()
}

fn behind(last: Option<Position>) -> Page {
    Page { limit: 100, after: last, before: None, from_end: false }
}

async fn all_users(conn: &mut Conn) -> Vec<users::UserRow> {
    let mut all: Vec<users::UserRow> = Vec::new();
    loop {
        let last = all.last().map(|row| Position { key: users::key(row), id: row.id });
        let page = users::page(conn, None, &behind(last), Sight::Everything).await.expect("users");
        all.extend(page.rows);
        if !page.has_next {
            return all;
        }
    }
}

pub async fn all_posts(conn: &mut Conn) -> Vec<PostRow> {
    let (order, mut all) = (PostOrder::OldestFirst, Vec::<PostRow>::new());
    loop {
        let last = all.last().map(|row| Position { key: posts::key(row, order), id: row.id });
        let page = posts::page(conn, &PostFilter::default(), order, &behind(last), Sight::Everything).await;
        let page = page.expect("posts");
        all.extend(page.rows);
        if !page.has_next {
            return all;
        }
    }
}

async fn posts_by_slug(conn: &mut Conn, rows: &[PostRow], handles: &HashMap<Uuid, String>) -> BTreeMap<String, Value> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let bodies: HashMap<Uuid, PostBodyRow> =
        posts::bodies(conn, &ids).await.expect("bodies").into_iter().map(|body| (body.id, body)).collect();
    let tags = tags::by_posts(conn, &ids).await.expect("tags");
    let keys = translations::keys(conn, &ids).await.expect("translation keys");
    let series: HashMap<Uuid, String> =
        series::all(conn).await.expect("series").into_iter().map(|row| (row.id, row.slug)).collect();
    let siblings = translations::siblings(conn, &ids, Sight::Everything).await.expect("translations");
    let picture = |row: &PostRow| {
        let body = &bodies[&row.id];
        let tags: Vec<&str> = tags.get(&row.id).into_iter().flatten().map(|tag| tag.slug.as_str()).collect();
        let mut translations: Vec<&str> = siblings.get(&row.id).into_iter().flatten().map(|row| &*row.slug).collect();
        translations.sort_unstable();
        json!({
            "kind": row.kind, "status": row.status, "language": row.language, "title": row.title,
            "excerpt": row.excerpt, "description": row.description, "cover": row.cover, "words": row.words,
            "custom": row.custom, "author": handles[&row.author_id],
            "series": row.series_id.map(|id| &series[&id]), "seriesPosition": row.series_position,
            "publishedAt": row.published_at, "updatedAt": row.updated_at, "listedAt": row.listed_at,
            "markdown": body.markdown, "html": body.html, "outline": body.outline,
            "tags": tags, "translationKey": keys.get(&row.id), "translations": translations,
        })
    };
    rows.iter().map(|row| (row.slug.clone(), picture(row))).collect()
}

async fn comments_by_key(
    conn: &mut Conn,
    rows: &[PostRow],
    handles: &HashMap<Uuid, String>,
) -> BTreeMap<String, Value> {
    let slugs: HashMap<Uuid, &str> = rows.iter().map(|row| (row.id, row.slug.as_str())).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let all = comments::all_of_posts(conn, &ids).await.expect("comments");
    let key = |row: &comments::CommentRow| row.import_key.clone().unwrap_or_else(|| row.id.to_string());
    let keys: HashMap<Uuid, String> = all.iter().map(|row| (row.id, key(row))).collect();
    let picture = |row: &comments::CommentRow| {
        json!({
            "post": slugs[&row.post_id], "author": handles[&row.author_id],
            "parent": row.parent_id.map(|id| &keys[&id]), "depth": row.depth, "status": row.status,
            "markdown": row.markdown, "html": row.html, "at": row.created_at,
        })
    };
    all.iter().map(|row| (key(row), picture(row))).collect()
}

async fn all_reactions(conn: &mut Conn, rows: &[PostRow]) -> Vec<String> {
    let slugs: HashMap<Uuid, &str> = rows.iter().map(|row| (row.id, row.slug.as_str())).collect();
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let all = reactions::all_of_posts(conn, &ids).await.expect("reactions");
    let mut all: Vec<String> =
        all.into_iter().map(|(post, kind, handle, _)| format!("{} {} {handle}", slugs[&post], kind.as_str())).collect();
    all.sort_unstable();
    all
}

/// Says in which places two pictures differ.
pub fn assert_equal(before: &Value, after: &Value, why: &str) {
    let mut differences = Vec::new();
    compare("", before, after, &mut differences);
    assert!(differences.is_empty(), "{why}:\n{}", differences.join("\n"));
}

fn compare(path: &str, a: &Value, b: &Value, differences: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let names: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            for name in names {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(json!("(absent)"));
                compare(&format!("{path}/{name}"), &of(x), &of(y), differences);
            }
        }
        _ if a != b => differences.push(format!("{path}: {a} became {b}")),
        _ => {}
    }
}

/// Rows of every table that an import may write to.
pub async fn rows(services: &Services) -> BTreeMap<&'static str, i64> {
    let mut conn = services.db.conn().await.expect("a connection");
    let mut found = BTreeMap::new();
    macro_rules! count {
        ($($table:ident),+) => {$(
            let rows = schema::$table::table.count().get_result::<i64>(&mut *conn).await.expect("a number");
            found.insert(stringify!($table), rows);
        )+};
    }
    count!(posts, post_revisions, post_tags, post_translations, tags, series, users, comments, reactions, site);
    // What search learns afterwards, and when, is not the import's doing.
    let events = schema::events::table.filter(schema::events::topic.ne_all(["job", "search", "graph"]));
    found.insert("events", events.count().get_result(&mut *conn).await.expect("a number"));
    let jobs = schema::jobs::table.filter(schema::jobs::kind.eq("publish_post"));
    found.insert("jobs", jobs.count().get_result(&mut *conn).await.expect("a number"));
    found
}

/// Makes the database as empty as a new one.
pub async fn empty(services: &Services) {
    let mut conn = services.db.conn().await.expect("a connection");
    // The server's own jobs take the same tables in another order, and then one of both has to give way.
    for _ in 0..10 {
        match conn.batch_execute("TRUNCATE users, tags, series, posts, site, events, jobs CASCADE").await {
            Err(error) if error.to_string().contains("deadlock detected") => {}
            done => return done.expect("emptied"),
        }
    }
    panic!("the server's jobs are always in the way");
}
