//! Two servers on one database. Real servers only.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::live::{PATIENCE, Sse};
use crate::support::{TestApp, data, on_real_servers};
use crate::writing::{COMMENT_ADDED, comment, post_id, publish};

#[tokio::test]
async fn what_happens_at_one_is_told_at_the_other_with_redis_and_without() {
    if !on_real_servers() {
        return;
    }
    for own in [&[][..], &[("redis_url", "")][..]] {
        let one = TestApp::start_with(own).await;
        let other = TestApp::replica_of(&one, own).await;
        let post = post_id(&one).await;
        let mut sse = Sse::open(&other, None, None, COMMENT_ADDED, json!({ "post": post })).await;
        comment(&one, &one.tokens.editor, &post, "across").await;
        let event = sse.next().await.expect("an event");
        assert_eq!(event.data["data"]["commentAdded"]["comment"]["markdown"], "across", "settings {own:?}");
    }
}

/// The stated bound: what was changed elsewhere is read fresh as soon as the event has arrived.
#[tokio::test]
async fn a_change_at_one_is_read_at_the_other_soon_and_at_the_same_server_at_once() {
    if !on_real_servers() {
        return;
    }
    // Long enough that nothing here expires by itself.
    let own = [("cache_ttl_seconds", "3600")];
    let one = TestApp::start_with(&own).await;
    let other = TestApp::replica_of(&one, &own).await;
    let id = publish(&one, "Title 0").await;
    let read = "query($id: ID!) { post(id: $id) { title version } }";
    for n in 1..=20 {
        let before = data(other.ask(read, json!({ "id": id })).await);
        let update = "mutation($input: UpdatePostInput!) { updatePost(input: $input) { userErrors { message } } }";
        let title = format!("Title {n}");
        let input = json!({ "id": id, "basedOnVersion": before["post"]["version"], "title": title });
        let done = one.own(update, json!({ "input": input })).await;
        assert_eq!(done["updatePost"]["userErrors"], json!([]));
        let own = data(one.ask(read, json!({ "id": id })).await);
        assert_eq!(own["post"]["title"], title, "one's own write is read at once");
        let since = Instant::now();
        while data(other.ask(read, json!({ "id": id })).await)["post"]["title"] != title {
            assert!(since.elapsed() < PATIENCE, "the other server still answers with the old title");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn viewers_of_all_servers_are_added_up() {
    if !on_real_servers() {
        return;
    }
    let one = TestApp::start().await;
    let other = TestApp::replica_of(&one, &[]).await;
    let post = publish(&one, "Watched from two").await;
    let query = "subscription($post: ID!) { viewerCount(postId: $post) { count } }";
    let mut here = Sse::open(&one, None, None, query, json!({ "post": post })).await;
    let _there = Sse::open(&other, None, None, query, json!({ "post": post })).await;
    loop {
        let event = here.next().await.expect("a count");
        if event.data["data"]["viewerCount"]["count"] == 2 {
            return;
        }
    }
}
