//! Every column of every table that holds content, and none of the ids: what an export is there
//! to keep. A table or a column that is added later is compared too, unless it is named here.

use diesel::sql_types::Jsonb;
use diesel_async::RunQueryDsl;
use inkstone::services::Services;
use serde_json::{Map, Value};

struct Table {
    name: &'static str,
    /// What tells a row from the others, in both databases.
    key: &'static str,
    rows: &'static str,
    /// References, and what they are compared by.
    names: &'static [(&'static str, &'static str)],
    /// Columns that may differ, and why.
    free: &'static [(&'static str, &'static str)],
}

const ID: (&str, &str) = ("id", "made anew");
const DEMO: (&str, &str) = ("demo", "what is imported is one's own");
const POST: &str = "(SELECT slug FROM posts WHERE posts.id = t.post_id)";

const CONTENT: [Table; 10] = [
    Table { name: "site", key: "'site'", rows: "true", names: &[], free: &[DEMO] },
    Table {
        name: "users",
        key: "t.handle",
        rows: "true",
        names: &[],
        free: &[ID, DEMO, ("email", "an address is nobody else's business, so an export does not tell it")],
    },
    Table { name: "tags", key: "t.slug", rows: "true", names: &[], free: &[ID, DEMO] },
    Table { name: "series", key: "t.slug", rows: "true", names: &[], free: &[ID, DEMO] },
    Table {
        name: "posts",
        key: "t.slug",
        rows: "true",
        names: &[
            ("author_id", "(SELECT handle FROM users WHERE users.id = t.author_id)"),
            ("series_id", "(SELECT slug FROM series WHERE series.id = t.series_id)"),
        ],
        free: &[ID, DEMO, ("version", "it counts the revisions, which are not exported")],
    },
    Table {
        name: "post_tags",
        key: "(SELECT posts.slug || ' ' || tags.slug FROM posts, tags WHERE posts.id = t.post_id AND tags.id = t.tag_id)",
        rows: "true",
        names: &[("post_id", POST), ("tag_id", "(SELECT slug FROM tags WHERE tags.id = t.tag_id)")],
        free: &[],
    },
    Table { name: "post_translations", key: POST, rows: "true", names: &[("post_id", POST)], free: &[] },
    Table {
        name: "comments",
        key: "coalesce(t.import_key, t.id::text)",
        rows: "true",
        names: &[
            ("post_id", POST),
            ("author_id", "(SELECT handle FROM users WHERE users.id = t.author_id)"),
            (
                "parent_id",
                "(SELECT coalesce(parent.import_key, parent.id::text) FROM comments AS parent WHERE parent.id = t.parent_id)",
            ),
        ],
        free: &[ID, ("import_key", "where it came from; it is the key")],
    },
    Table {
        name: "reactions",
        key: "(SELECT posts.slug || ' ' || t.kind || ' ' || users.handle FROM posts, users \
              WHERE posts.id = t.post_id AND users.id = t.user_id)",
        rows: "true",
        names: &[("post_id", POST), ("user_id", "(SELECT handle FROM users WHERE users.id = t.user_id)")],
        free: &[],
    },
    Table {
        name: "jobs",
        key: "t.kind || ' ' || (SELECT slug FROM posts WHERE posts.id = t.subject)",
        rows: "t.state = 'QUEUED' AND t.kind = 'publish_post'",
        names: &[("subject", "(SELECT slug FROM posts WHERE posts.id = t.subject)")],
        free: &[ID, ("created_at", "when it was written down")],
    },
];

/// What is no content, and why.
const OTHERS: [(&str, &str); 28] = [
    ("identities", "passwords"),
    ("sessions", "secrets"),
    ("api_keys", "secrets"),
    ("post_revisions", "what posts said before is not exported"),
    ("proposals", "what models proposed and nobody has taken over"),
    ("token_usage", "what models were used for here"),
    ("responses", "what models said to those who asked"),
    ("post_words", "made of the posts again"),
    ("chunks", "made of the posts again"),
    ("chunk_vectors", "made of the posts again"),
    ("post_related", "made of the posts again"),
    ("post_vectors", "made of the posts again"),
    ("post_entities", "made of the posts again"),
    ("post_names", "made of the posts again"),
    ("post_links", "made of the posts again"),
    ("graph_posts", "made of the posts again"),
    ("entities", "made of the posts again; what was edited of them comes along: graph.rs"),
    ("entity_names", "made of the posts again; what was edited of them comes along: graph.rs"),
    ("cron_runs", "when this server did what comes again and again"),
    ("conversations", "what readers asked the site"),
    ("messages", "what readers asked the site"),
    ("presence", "who looks at this moment"),
    ("readers", "what readers read"),
    ("reads", "what readers read"),
    ("post_days", "how often posts were read here"),
    ("events", "what happened here"),
    ("events_pruned", "what happened here"),
    ("__diesel_schema_migrations", "the schema"),
];

/// The rows of every table of content, by their keys.
pub async fn all(services: &Services) -> Value {
    let mut conn = services.db.conn().await.expect("a connection");
    let tables = "SELECT to_jsonb(array_agg(table_name::text ORDER BY table_name::text)) \
                  FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: Value = one(&mut conn, tables).await;
    for table in tables.as_array().expect("tables") {
        let known = CONTENT.iter().any(|content| table == content.name) || OTHERS.iter().any(|(name, _)| table == name);
        assert!(known, "is {table} content? Then an export has to keep it: add it to CONTENT, else to OTHERS");
    }
    let mut found = Map::new();
    for Table { name, key, rows, names, free } in &CONTENT {
        let free: String = free.iter().map(|(column, _)| format!(" - '{column}'")).collect();
        let names: Vec<String> = names.iter().map(|(column, sql)| format!("'{column}', {sql}")).collect();
        let sql = format!(
            "SELECT coalesce(jsonb_object_agg({key}, (to_jsonb(t){free}) || jsonb_build_object({})), '{{}}') \
             FROM {name} AS t WHERE {rows}",
            names.join(", ")
        );
        found.insert((*name).to_owned(), one(&mut conn, &sql).await);
    }
    Value::Object(found)
}

async fn one(conn: &mut inkstone::store::Conn, sql: &str) -> Value {
    diesel::select(diesel::dsl::sql::<Jsonb>(&format!("({sql})"))).get_result(conn).await.expect("an answer")
}
