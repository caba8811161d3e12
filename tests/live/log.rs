//! The log itself: what holds it back, what it passes over, and a log from another server.

use diesel_async::SimpleAsyncConnection;
use inkstone::events::{Cursor, EventFilter, EventKind};
use inkstone::store;
use inkstone::store::events::{Batch, LogPosition};
use serde_json::json;

use crate::support::{TestApp, code, on_real_servers};
use crate::watch::{Watch, now};
use crate::writing::{COMMENT_ADDED, comment, post_id};

async fn sql(app: &TestApp, statement: &str) {
    let mut conn = app.services.db.conn().await.expect("a connection");
    conn.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// A connection of its own to a database of the same server.
async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_transaction_in_another_database_does_not_hold_the_log_back() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    // The server's own database, not the test's.
    let other = connect(&std::env::var("TEST_DATABASE_URL").expect("real servers")).await;
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a writing transaction");
    let start = now(&app).await;
    let mut live = Watch::socket(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    comment(&app, &app.tokens.editor, &post, "first").await;
    assert_eq!(live.event().await["commentAdded"]["comment"]["markdown"], "first");
    // Who comes now reads what was told from the database.
    let mut late = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    assert_eq!(late.event().await["commentAdded"]["comment"]["markdown"], "first");
    comment(&app, &app.tokens.editor, &post, "second").await;
    for watch in [&mut live, &mut late] {
        assert_eq!(watch.event().await["commentAdded"]["comment"]["markdown"], "second");
    }
    other.batch_execute("COMMIT").await.expect("the commit");
}

#[tokio::test]
async fn a_transaction_in_this_database_holds_the_log_back_and_that_shows() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let own = connect(&app.database.url().expect("a server's database")).await;
    let start = now(&app).await;
    let comments = |batch: &Batch| batch.rows.iter().filter(|row| row.kind == EventKind::CommentAdded).count();
    let (told, all) = (LogPosition { xid: 3, id: 0 }, EventFilter::default());
    let mut conn = app.services.db.conn().await.expect("a connection");
    let free = store::events::tail(&mut conn, told).await.expect("the tail");
    let before = store::events::read(&mut conn, told, free.settled, &all, 1000).await.expect("the log");
    own.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a writing transaction");
    let mut watch = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    comment(&app, &app.tokens.editor, &post, "held back").await;

    let held = store::events::tail(&mut conn, told).await.expect("the tail");
    assert!(held.waiting_since.is_some(), "an event waits: {held:?}");
    let readable = store::events::read(&mut conn, told, held.settled, &all, 1000).await.expect("the log");
    assert_eq!(comments(&readable), comments(&before), "it may still be overtaken, so nobody reads it");
    own.batch_execute("COMMIT").await.expect("the commit");
    let free = store::events::tail(&mut conn, told).await.expect("the tail");
    let readable = store::events::read(&mut conn, told, free.settled, &all, 1000).await.expect("the log");
    assert_eq!(comments(&readable), comments(&before) + 1, "now it can be read: {free:?}");
    assert_eq!(watch.event().await["commentAdded"]["comment"]["markdown"], "held back");
}

#[tokio::test]
async fn an_event_of_a_newer_version_is_passed_over() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    let mut watch = Watch::socket(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    let of_the_future = "INSERT INTO events (topic, kind, subject, payload, at) \
        SELECT 'moon', 'moon.risen', gen_random_uuid(), '{}', now() FROM generate_series(1, 600)";
    sql(&app, of_the_future).await;
    comment(&app, &app.tokens.editor, &post, "after them").await;
    assert_eq!(watch.event().await["commentAdded"]["comment"]["markdown"], "after them");
}

/// Transaction ids begin anew in another cluster: what came with a dump lies far ahead.
#[tokio::test]
async fn a_log_that_came_with_a_dump_goes_on() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    comment(&app, &app.tokens.editor, &post, "before the dump").await;
    sql(&app, "UPDATE events SET xid = (xid::text::bigint + 1000000000000)::text::xid8").await;
    let far_ahead = Cursor::at(LogPosition { xid: 1_000_000_000_000, id: 1 });

    let app = app.restart(&[]).await;
    let variables = json!({ "post": post, "after": now(&app).await });
    let mut watch = Watch::sse(&app, None, COMMENT_ADDED, variables).await;
    comment(&app, &app.tokens.editor, &post, "after the dump").await;
    assert_eq!(watch.event().await["commentAdded"]["comment"]["markdown"], "after the dump");

    let variables = json!({ "post": post, "after": far_ahead.encode() });
    let mut lost = Watch::socket(&app, None, COMMENT_ADDED, variables).await;
    assert_eq!(code(&lost.refusal().await), "BAD_USER_INPUT", "a cursor of the other server is refused");
}
