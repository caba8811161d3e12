//! Coming back with a cursor: nothing is missed, nothing comes twice.

use chrono::Utc;
use inkstone::events::{Cursor, EventFilter, EventKind, NewEvent};
use inkstone::store;
use inkstone::store::events::LogPosition;
use serde_json::{Value, json};

use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, code, on_real_servers};
use crate::watch::{Watch, end, now};
use crate::writing::{COMMENT_ADDED, comment, post_id, publish};

fn text(event: &Value) -> &str {
    event["commentAdded"]["comment"]["markdown"].as_str().expect("a comment")
}

fn cursor(event: &Value) -> &str {
    event["commentAdded"]["cursor"].as_str().expect("a cursor")
}

/// The next events: their texts, and their cursors, each of which must lie behind the one before.
async fn take(watch: &mut Watch, many: usize) -> (Vec<String>, Vec<String>) {
    let (mut texts, mut cursors) = (Vec::<String>::new(), Vec::<String>::new());
    for _ in 0..many {
        let event = watch.event().await;
        if let Some(last) = cursors.last() {
            let place = |cursor: &str| Cursor::decode(cursor).expect("a cursor of this log");
            assert!(place(cursor(&event)) > place(last), "the cursors grow, over {}", watch.transport());
        }
        cursors.push(cursor(&event).to_owned());
        texts.push(text(&event).to_owned());
    }
    (texts, cursors)
}

async fn write(app: &TestApp, post: &str, texts: &[&str]) {
    for text in texts {
        comment(app, &app.tokens.editor, post, text).await;
    }
}

/// Resumes over each transport, over SSE also with the header.
async fn resume(app: &TestApp, post: &str, after: &str) -> [Watch; 3] {
    let [socket, sse] = Watch::both(app, None, COMMENT_ADDED, json!({ "post": post, "after": after })).await;
    let by_header = Sse::open(app, None, Some(after), COMMENT_ADDED, json!({ "post": post })).await;
    [socket, sse, Watch::Sse(Box::new(by_header))]
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_in_order_and_once() {
    let app = TestApp::start().await;
    let (post, other) = (post_id(&app).await, publish(&app, "Other").await);
    let start = now(&app).await;
    let seen = ["seen 1", "seen 2", "seen 3"];
    let missed = ["missed 1", "missed 2", "missed 3", "missed 4", "missed 5"];
    let mut watches = resume(&app, &post, &start).await;
    write(&app, &post, &seen).await;
    let mut cursors = Vec::new();
    for watch in &mut watches {
        let (texts, at) = take(watch, 3).await;
        assert_eq!(texts, seen, "over {}", watch.transport());
        cursors.push(at);
    }
    assert!(cursors.iter().all(|of_one| *of_one == cursors[0]), "an event has one cursor for everybody: {cursors:?}");
    drop(watches);
    for text in missed {
        write(&app, &other, &["of another post"]).await;
        write(&app, &post, &[text]).await;
    }

    let mut watches = resume(&app, &post, &cursors[0][2]).await;
    for watch in &mut watches {
        assert_eq!(take(watch, 5).await.0, missed, "exactly what was missed, over {}", watch.transport());
    }
    write(&app, &post, &["live again"]).await;
    for watch in &mut watches {
        assert_eq!(take(watch, 1).await.0, ["live again"], "after the missed ones come the new ones");
    }
    let mut from_the_middle =
        Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": cursors[0][0] })).await;
    assert_eq!(take(&mut from_the_middle, 4).await.0, ["seen 2", "seen 3", "missed 1", "missed 2"]);
}

#[tokio::test]
async fn coming_back_again_and_again_while_much_happens_neither_loses_nor_repeats() {
    const ALL: usize = 40;
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut after = now(&app).await;
    let texts: Vec<String> = (0..ALL).map(|n| n.to_string()).collect();
    let reading = async {
        let mut read = Vec::new();
        while read.len() < ALL {
            let variables = json!({ "post": post, "after": after });
            let mut watch = match read.len() % 2 {
                0 => Watch::socket(&app, None, COMMENT_ADDED, variables).await,
                _ => Watch::sse(&app, None, COMMENT_ADDED, variables).await,
            };
            let (mut some, cursors) = take(&mut watch, 3.min(ALL - read.len())).await;
            after.clone_from(cursors.last().expect("a cursor"));
            read.append(&mut some);
        }
        read
    };
    let writing = async {
        for text in &texts {
            write(&app, &post, &[text]).await;
        }
    };
    let (read, ()) = tokio::join!(reading, writing);
    assert_eq!(read, texts);
}

#[tokio::test]
async fn the_argument_counts_more_than_the_header() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    write(&app, &post, &["one", "two"]).await;
    let mut first = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    let (_, cursors) = take(&mut first, 2).await;
    let variables = json!({ "post": post, "after": cursors[0] });
    let sse = Sse::open(&app, None, Some(&start), COMMENT_ADDED, variables).await;
    assert_eq!(take(&mut Watch::Sse(Box::new(sse)), 1).await.0, ["two"]);
}

/// Appends events that announce the last comment again, a hundred in each transaction.
async fn announce(app: &TestApp, times: usize) {
    let end = end(app).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let added = EventFilter { kinds: vec![EventKind::CommentAdded], subject: None };
    let rows = store::events::read(&mut conn, LogPosition::default(), end, &added, 10_000).await;
    let rows = rows.expect("the log").rows;
    drop(conn);
    let original = rows.last().expect("a comment was added").clone();
    for _ in 0..times / 100 {
        let mut tx = app.services.db.begin().await.expect("a transaction");
        let again = NewEvent {
            kind: original.kind,
            subject: original.subject,
            payload: original.payload.clone(),
            actor: original.actor,
            at: Utc::now(),
        };
        app.services.events.append(&mut tx, &vec![again; 100]).await.expect("the events are appended");
        tx.commit().await.expect("the commit");
    }
    app.services.events.announce();
}

/// What the sockets between the two hold is a fraction of these events, and a channel holds 256:
/// the subscriber has to find the rest in the log.
#[tokio::test]
async fn a_burst_that_nobody_reads_at_the_time_is_not_lost() {
    const BURST: usize = 600;
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let query = "subscription($post: ID!, $after: String) { commentAdded(postId: $post, after: $after) {
        cursor comment { markdown a: markdown b: markdown c: markdown } } }";
    let start = now(&app).await;
    let long = "long ".repeat(3200);
    write(&app, &post, &[&long]).await;
    let mut watch = Watch::sse(&app, None, query, json!({ "post": post, "after": start })).await;
    let (first, _) = take(&mut watch, 1).await;
    announce(&app, BURST).await;
    write(&app, &post, &["the end"]).await;
    // The tailer has told everything when another subscriber has got it live.
    let mut ended = Watch::socket(
        &app,
        None,
        "subscription($after: String) { postPublished(after: $after) { cursor } }",
        json!({ "after": now(&app).await }),
    )
    .await;
    publish(&app, "The end").await;
    ended.event().await;

    let (texts, _) = take(&mut watch, BURST).await;
    assert!(texts.iter().all(|text| *text == first[0]), "the burst, each once");
    assert_eq!(take(&mut watch, 1).await.0, ["the end"], "after {BURST} events comes what came later");
}

#[tokio::test]
async fn more_than_one_batch_is_read_out_of_the_log() {
    const MISSED: usize = 600;
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    write(&app, &post, &["often"]).await;
    let mut first = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    assert_eq!(take(&mut first, 1).await.0, ["often"]);
    announce(&app, MISSED).await;
    write(&app, &post, &["the end"]).await;
    for mut watch in resume(&app, &post, &start).await {
        let (texts, _) = take(&mut watch, MISSED + 2).await;
        assert!(texts[..=MISSED].iter().all(|text| text == "often"), "over {}", watch.transport());
        assert_eq!(texts[MISSED + 1], "the end", "over {}", watch.transport());
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    for after in ["garbage", "", "AAAA", "_____________________w"] {
        for mut watch in Watch::both(&app, None, COMMENT_ADDED, json!({ "post": post, "after": after })).await {
            assert_eq!(code(&watch.refusal().await), "BAD_USER_INPUT", "over {}: {after:?}", watch.transport());
        }
    }
    let request = app.http.post(format!("{}/graphql/stream", app.base)).header("last-event-id", "garbage");
    let answer = request.json(&json!({ "query": COMMENT_ADDED, "variables": { "post": post } })).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 400, "the header is refused before the stream begins");
    assert_eq!(code(&answer.json().await.expect("JSON")), "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_cursor_that_the_log_does_not_reach_back_to_is_refused() {
    // A worker would write of its own work into the log, behind the comment, and that is forgotten too.
    let app = TestApp::start_with(&[("job_workers", "0")]).await;
    let post = post_id(&app).await;
    let old = now(&app).await;
    write(&app, &post, &["forgotten"]).await;
    let mut watch = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": post, "after": old })).await;
    let (_, cursors) = take(&mut watch, 1).await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    store::events::prune(&mut tx, Utc::now()).await.expect("the log is pruned");
    tx.commit().await.expect("the commit");
    for mut watch in Watch::both(&app, None, COMMENT_ADDED, json!({ "post": post, "after": old })).await {
        assert_eq!(code(&watch.refusal().await), "BAD_USER_INPUT", "over {}", watch.transport());
    }
    write(&app, &post, &["later"]).await;
    let variables = json!({ "post": post, "after": cursors[0] });
    let mut watch = Watch::sse(&app, None, COMMENT_ADDED, variables).await;
    assert_eq!(take(&mut watch, 1).await.0, ["later"], "who had seen everything that was forgotten may go on");
}

/// The case that ids of a sequence cannot handle: the event with the lower id commits last.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    write(&app, &post, &["early"]).await;
    let mut living = resume(&app, &post, &start).await;
    let mut cursors = Vec::new();
    for watch in &mut living {
        cursors = take(watch, 1).await.1;
    }
    let url = app.database.url().expect("a server's database");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    // A second announcement of the first comment, by a transaction that stays open for a while.
    client.batch_execute("BEGIN").await.expect("a transaction");
    let again = "INSERT INTO events (topic, kind, subject, payload, at) \
        SELECT topic, kind, subject, payload, now() FROM events WHERE kind = 'comment.added' ORDER BY id DESC LIMIT 1";
    client.batch_execute(again).await.expect("its event");
    write(&app, &post, &["committed first", "committed second"]).await;

    // Who comes while it is open must wait with everybody else, or would skip it.
    let meanwhile = resume(&app, &post, &cursors[0]).await;
    client.batch_execute("COMMIT").await.expect("the commit");
    write(&app, &post, &["committed last"]).await;
    let later = resume(&app, &post, &cursors[0]).await;
    let wanted = ["early", "committed first", "committed second", "committed last"];
    let groups = [("was there", living), ("came meanwhile", meanwhile), ("came later", later)];
    for (who, watches) in groups {
        for mut watch in watches {
            assert_eq!(take(&mut watch, 4).await.0, wanted, "{who}, over {}", watch.transport());
        }
    }
}

#[tokio::test]
async fn a_late_transaction_that_is_rolled_back_holds_nobody_up_for_long() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    let url = app.database.url().expect("a server's database");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.expect("a transaction");
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": post, "after": start })).await;
    write(&app, &post, &["behind it"]).await;
    client.batch_execute("ROLLBACK").await.expect("the end of it");
    assert_eq!(text(&socket.event().await), "behind it");
}
