//! Posts that the site is asked about, and asking it.

use std::time::Instant;

use serde_json::{Value, json};

use super::live::PATIENCE;
use super::{TestApp, data};

pub const ASK: &str = "mutation($input: ChatInput!) { askSite(input: $input) {
    answer {
        conversationId messageId text
        citations { index title headingPath excerpt url post { slug } }
        done { finishReason promptTokens completionTokens durationMs model degraded }
        failed { code message }
    }
    userErrors { code field message }
} }";

/// A question that [`kettle`] answers.
pub const QUESTION: &str = "How hot is the zorbic kettle?";

/// Publishes a post in English, and waits until the site can be asked about it; its id.
pub async fn publish(app: &TestApp, slug: &str, title: &str, markdown: &str) -> String {
    let input = json!({ "title": title, "slug": slug, "markdown": markdown, "language": "en" });
    let create =
        "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } userErrors { message } } }";
    let mut made = app.own(create, json!({ "input": input })).await;
    let id = made["createPost"]["post"]["id"].take();
    let publish = "mutation($input: PostIdInput!) { publishPost(input: $input) { post { status } } }";
    let done = app.own(publish, json!({ "input": { "id": id } })).await;
    assert_eq!(done["publishPost"]["post"]["status"], "PUBLISHED");
    id.as_str().expect("an id").to_owned()
}

/// A post about a kettle, with a heading.
pub async fn kettle(app: &TestApp) -> String {
    let text =
        "A zorbic kettle stands on the table.\n\n## Heat\n\nThe zorbic kettle is hot: 93 degrees, measured twice.\n";
    let id = publish(app, "zorbic-kettle", "The zorbic kettle", text).await;
    found(app, QUESTION).await;
    id
}

/// Waits until the site has an answer to this question.
pub async fn found(app: &TestApp, question: &str) {
    let begun = Instant::now();
    while looked_for(app, question).await == json!([]) {
        assert!(begun.elapsed() < PATIENCE, "{question:?} should be answered by what was published");
    }
}

/// Waits until the site has none any more.
pub async fn forgotten(app: &TestApp, question: &str) {
    let begun = Instant::now();
    while looked_for(app, question).await != json!([]) {
        assert!(begun.elapsed() < PATIENCE, "{question:?} should not be answered any more");
    }
}

/// What the retrieval gives, without a model and without an account.
pub async fn looked_for(app: &TestApp, question: &str) -> Value {
    use inkstone::services::searching::passages::passages;
    use inkstone::store::{Sight, posts::PostFilter};
    let found = Box::pin(passages(&app.services, Sight::Public, question, &PostFilter::default(), 5)).await;
    let found = found.expect("the site can be searched").passages;
    found.iter().filter(|passage| passage.words > 0.5).map(|passage| json!(passage.slug)).collect()
}

/// What the site answers.
pub async fn ask(app: &TestApp, token: Option<&str>, input: Value) -> Value {
    let mut payload = data(app.ask_as(token, ASK, json!({ "input": input })).await)["askSite"].take();
    assert_eq!(payload["userErrors"], json!([]), "the question should be accepted");
    payload["answer"].take()
}
