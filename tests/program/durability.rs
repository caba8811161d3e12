//! A program that is killed has lost nothing that it acknowledged.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::process::{Place, Server, Starting, ask};

/// After how many acknowledged writes each round ends.
const ROUNDS: [usize; 10] = [1, 17, 2, 29, 7, 1, 23, 4, 41, 11];

const CREATE: &str = "mutation($input: CreatePostInput!) {
    createPost(input: $input) { written: post { id } userErrors { message } }
}";
const COMMENT: &str = "mutation($input: AddCommentInput!) {
    addComment(input: $input) { written: comment { id } userErrors { message } }
}";
const PUBLISH: &str = "mutation($input: PostIdInput!) { publishPost(input: $input) { post { status } } }";
const FIND: &str = "query($ids: [ID!]!) {
    nodes(ids: $ids) { id ... on Post { text: title } ... on Comment { text: markdown } }
}";

/// The id and the text of a write that was acknowledged.
type Write = (String, String);

/// What a writer needs to know of the server.
#[derive(Clone)]
struct Target {
    http: reqwest::Client,
    graphql: String,
    token: String,
    post: String,
}

/// Writes until the server is gone.
async fn keep_writing(target: Target, comments: bool, round: usize, acknowledged: UnboundedSender<Write>) {
    for n in 0.. {
        let text = format!("round {round}, write {n}, comment: {comments}");
        let (field, query, input) = match comments {
            true => ("addComment", COMMENT, json!({ "postId": target.post, "markdown": text })),
            false => ("createPost", CREATE, json!({ "title": text, "markdown": "Text.", "tags": ["kept"] })),
        };
        let variables = json!({ "input": input });
        let Ok(answer) = ask(&target.http, &target.graphql, Some(&target.token), query, variables).await else {
            return;
        };
        let data = crate::support::data(answer);
        let id = data[field]["written"]["id"].as_str().unwrap_or_else(|| panic!("a write was refused: {data}"));
        if acknowledged.send((id.to_owned(), text)).is_err() {
            return;
        }
    }
}

/// Lets two clients write, and kills the server in the middle of it.
async fn write_and_kill(server: Server, target: &Target, round: usize, all: &mut HashMap<String, String>) {
    let (send, mut acknowledged) = unbounded_channel();
    let writers =
        [true, false].map(|comments| tokio::spawn(keep_writing(target.clone(), comments, round, send.clone())));
    drop(send);
    for _ in 0..ROUNDS[round] {
        let (id, text) = acknowledged.recv().await.expect("the server should acknowledge writes");
        all.insert(id, text);
    }
    // No waiting for something: a kill at another point of a write in each round.
    tokio::time::sleep(Duration::from_micros(700 * round as u64)).await;
    server.kill();
    drain(&mut acknowledged, all).await;
    for writer in writers {
        writer.await.expect("no write was refused");
    }
}

/// What was acknowledged before the kill and not yet looked at.
async fn drain(acknowledged: &mut UnboundedReceiver<Write>, all: &mut HashMap<String, String>) {
    while let Some((id, text)) = acknowledged.recv().await {
        all.insert(id, text);
    }
}

async fn everything_is_there(server: &Server, token: &str, all: &HashMap<String, String>) {
    let ids: Vec<&String> = all.keys().collect();
    for some in ids.chunks(50) {
        let data = server.data(Some(token), FIND, json!({ "ids": some })).await;
        for (id, found) in some.iter().zip(data["nodes"].as_array().expect("a list")) {
            assert_ne!(*found, Value::Null, "the acknowledged write {:?} is lost", all[*id]);
            assert_eq!(found["text"], all[*id].as_str(), "the write came back with another text");
        }
    }
}

async fn post_to_comment_on(server: &Server, token: &str) -> String {
    let input = json!({ "input": { "title": "Commented on", "markdown": "Text." } });
    let data = server.data(Some(token), CREATE, input).await;
    let id = data["createPost"]["written"]["id"].as_str().expect("a post").to_owned();
    let data = server.data(Some(token), PUBLISH, json!({ "input": { "id": id } })).await;
    assert_eq!(data["publishPost"]["post"]["status"], "PUBLISHED");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_writing_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let mut server = place.serve(&["--empty"]);
    let token = server.owner_token().await;
    let post = post_to_comment_on(&server, &token).await;
    let mut all = HashMap::new();
    for round in 0..ROUNDS.len() {
        let target = Target {
            http: crate::support::client_builder().build().expect("a client"),
            graphql: server.graphql(),
            token: token.clone(),
            post: post.clone(),
        };
        write_and_kill(server, &target, round, &mut all).await;
        if round % 4 == 3 {
            // Also while it recovers from the kill before.
            let starting = Starting::spawn(&mut place.serving(&[]));
            tokio::time::sleep(Duration::from_millis(150 * round as u64)).await;
            starting.kill();
        }
        server = place.serve(&[]);
        everything_is_there(&server, &token, &all).await;
    }
    let acknowledged = all.values().filter(|text| text.ends_with("false")).count() as u64 + 1;
    let posts = server.count_posts(Some(&token)).await;
    let unanswered = ROUNDS.len() as u64;
    assert!(
        (acknowledged..=acknowledged + unanswered).contains(&posts),
        "{acknowledged} posts were acknowledged and at most {unanswered} more were under way: {posts} are there"
    );
    assert_eq!(server.stop("TERM").code, Some(0), "after all that it still stops in good order");
}
