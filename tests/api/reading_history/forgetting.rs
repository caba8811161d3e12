//! How a history ends: at once, switched off, with its post, by the clock.

use inkstone::jobs::{self, HOUSEKEEPING_JOB};
use inkstone::store::jobs::NewJob;
use inkstone::store::reads;

use super::*;

/// Reads a post as it would have been at another time.
async fn read_at(app: &TestApp, who: Option<&str>, slug: &str, token: Option<&str>, ago: TimeDelta) {
    let mut conn = app.services.db.conn().await.expect("a connection");
    let viewer = match who {
        Some(handle) => {
            let user = users::by_handle(&mut conn, handle).await.expect("the users are read");
            Viewer::trusted(user.expect("there is this user"))
        }
        None => Viewer::anonymous(),
    };
    let found = inkstone::store::posts::ids_by_slugs(&mut conn, &[slug.to_owned()]).await.expect("the post is read");
    drop(conn);
    let actor = Actor { viewer, now: Utc::now() - ago };
    reading::record(&app.services, &actor, None, found[0].1, token).await.expect("the read is recorded");
}

#[tokio::test]
async fn a_history_is_forgotten_at_once() {
    let app = start().await;
    let (rita, token) = (app.tokens.reader.clone(), begin(&app).await);
    read(&app, Some(&rita), "grinding-ink", None).await;
    read(&app, Some(&rita), "wet-stone", None).await;
    read(&app, None, "two-clocks", Some(&token)).await;

    let forgotten = data(app.ask_as(Some(&rita), FORGET, json!({})).await);
    assert_eq!(forgotten["forgetReading"], json!({ "forgotten": 2, "userErrors": [] }));
    assert!(history(&app, Some(&rita), None).await.is_empty());
    assert_eq!(history(&app, None, Some(&token)).await, ["two-clocks"], "that of another stays");
    read(&app, Some(&rita), "grinding-ink", None).await;
    assert_eq!(history(&app, Some(&rita), None).await, ["grinding-ink"], "it goes on");

    let input = json!({ "input": { "readingToken": token } });
    assert_eq!(data(app.ask(FORGET, input.clone()).await)["forgetReading"]["forgotten"], 1);
    for (query, variables) in [
        (HISTORY, json!({ "token": token })),
        (include_str!("../queries/recommendations.graphql"), json!({ "readingToken": token })),
    ] {
        let gone = app.ask(query, variables).await;
        assert_eq!(code(&gone), "BAD_USER_INPUT", "the token is no good any more");
        let message = gone["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("startReading") && !message.contains("ink_"), "{message}");
    }
    let again = data(app.ask(FORGET, input).await)["forgetReading"].take();
    assert_eq!(again["userErrors"][0]["code"], "NOT_FOUND");
    assert_eq!(code(&app.ask(FORGET, json!({})).await), "UNAUTHENTICATED");
    assert_eq!(count(&app, "readers WHERE token_hash IS NOT NULL").await, 0);
    assert_eq!(reads_in_all(&app).await, 4, "that the posts were read is no part of it");
}

#[tokio::test]
async fn who_switches_it_off_leaves_nothing() {
    let app = start().await;
    let rita = app.tokens.reader.clone();
    read(&app, Some(&rita), "grinding-ink", None).await;
    let set = async |keep: bool| data(app.ask_as(Some(&rita), SET, json!({ "keep": keep })).await);
    assert_eq!(set(false).await["setReadingHistory"], json!({ "isKept": false, "userErrors": [] }));
    assert_eq!(count(&app, "reads").await, 0, "what was there is gone");
    let before = app.services.version.now();
    for _ in 0..2 {
        read(&app, Some(&rita), "wet-stone", None).await;
    }
    assert_eq!(count(&app, "reads").await, 0, "nothing is written down");
    assert_eq!(reads_in_all(&app).await, 2, "they count once all the same");
    assert_eq!(app.services.version.now(), before, "and make nothing that is cached stale");
    let found = data(app.ask_as(Some(&rita), HISTORY, json!({})).await);
    assert_eq!(found["readingHistory"]["isKept"], false);
    assert_eq!(set(true).await["setReadingHistory"]["isKept"], true);
    read(&app, Some(&rita), "two-clocks", None).await;
    assert_eq!(history(&app, Some(&rita), None).await, ["two-clocks"]);
    assert_eq!(code(&app.ask(SET, json!({ "keep": true })).await), "UNAUTHENTICATED");
    let key = app.key("rita", &Scope::ALL).await;
    assert_eq!(code(&app.ask_as(Some(&key), SET, json!({ "keep": false })).await), "FORBIDDEN");
}

#[tokio::test]
async fn it_ends_with_the_post_and_with_the_account() {
    let app = start().await;
    let rita = app.tokens.reader.clone();
    for slug in ["grinding-ink", "two-clocks"] {
        read(&app, Some(&rita), slug, None).await;
    }
    let gone = json!({ "id": id_of(&app, "two-clocks").await });
    app.own("mutation($id: ID!) { deletePost(input: { id: $id }) { deletedId } }", gone).await;
    let hidden = json!({ "id": id_of(&app, "grinding-ink").await });
    app.own("mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { id } } }", hidden).await;
    assert!(history(&app, Some(&rita), None).await.is_empty(), "what nobody may see is not shown");
    assert_eq!((count(&app, "reads").await, count(&app, "post_days").await), (1, 1));
    let mut conn = app.services.db.conn().await.expect("a connection");
    let delete = diesel::sql_query("DELETE FROM users WHERE handle = 'rita'");
    delete.execute(&mut *conn).await.expect("the account is deleted");
    drop(conn);
    assert_eq!((count(&app, "readers").await, count(&app, "reads").await), (0, 0));
    assert_eq!(reads_in_all(&app).await, 1, "that it was read stays, without a person");
}

#[tokio::test]
async fn the_clock_forgets() {
    let app = start().await;
    let (old, young) = (begin(&app).await, begin(&app).await);
    let days = TimeDelta::days;
    read_at(&app, None, "grinding-ink", Some(&old), days(31)).await;
    read_at(&app, None, "grinding-ink", Some(&young), days(60)).await;
    read_at(&app, None, "two-clocks", Some(&young), days(29)).await;
    read_at(&app, Some("rita"), "grinding-ink", None, days(366)).await;
    read_at(&app, Some("rita"), "two-clocks", None, days(364)).await;
    read_at(&app, Some("edgar"), "two-clocks", None, days(500)).await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let job = NewJob::new(HOUSEKEEPING_JOB, Uuid::nil(), Utc::now());
    inkstone::store::jobs::enqueue_with(&mut tx, &job, Utc::now()).await.expect("it is asked for");
    tx.commit().await.expect("it is written down");
    jobs::run_due(&app.services).await.expect("the jobs are done");

    assert_eq!(code(&app.ask(HISTORY, json!({ "token": old })).await), "BAD_USER_INPUT", "30 days unused");
    assert_eq!(history(&app, None, Some(&young)).await, ["two-clocks", "grinding-ink"], "it was used since");
    assert_eq!(history(&app, Some(&app.tokens.reader), None).await, ["two-clocks"], "a member's is kept for a year");
    assert_eq!(count(&app, "readers WHERE user_id IS NOT NULL").await, 1);
    let mut conn = app.services.db.conn().await.expect("a connection");
    assert_eq!(post_days::forget_before(&mut conn, (Utc::now() - days(400)).date_naive()).await.expect("days"), 0);
}

#[tokio::test]
async fn a_history_is_bounded_and_read_again_later_counts_again() {
    let app = start().await;
    let hours = TimeDelta::hours;
    for (slug, ago) in [("grinding-ink", 5), ("two-clocks", 4), ("wet-stone", 3), ("grinding-ink", 2)] {
        read_at(&app, Some("rita"), slug, None, hours(ago)).await;
    }
    let rita = app.tokens.reader.clone();
    let found = data(app.ask_as(Some(&rita), HISTORY, json!({})).await)["readingHistory"].take();
    assert_eq!(slugs(&found), ["grinding-ink", "wet-stone", "two-clocks"]);
    assert_eq!(found["nodes"][0]["times"], 2);
    assert_eq!(reads_in_all(&app).await, 4);
    let mut conn = app.services.db.conn().await.expect("a connection");
    let id = "(SELECT id FROM readers)";
    let id: Uuid =
        diesel::select(diesel::dsl::sql::<diesel::sql_types::Uuid>(id)).get_result(&mut *conn).await.expect("a reader");
    for most in [500, 3, 2] {
        reads::keep_last(&mut conn, id, most).await.expect("the rest is forgotten");
    }
    drop(conn);
    assert_eq!(history(&app, Some(&rita), None).await, ["grinding-ink", "wet-stone"]);
}
