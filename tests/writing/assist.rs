//! Help with writing: what models suggest, to whom, and that nothing comes of it by itself.

use std::sync::{Arc, Mutex};

use inkstone::inference::{GenerateRequest, Prompt};
use serde_json::{Value, json};

use crate::deeds::{done, post};
use crate::support::live::Sse;
use crate::support::scripted::Scripted;
use crate::support::{TestApp, data};

mod jobs;
mod kinds;
mod pictures;
mod rights;
mod translating;

const RESULT: &str = "__typename
    ... on SummarySuggestion { text }
    ... on TagSuggestions { tags { name similarity tag { slug } } }
    ... on TitleSuggestions { titles }
    ... on TranslationDraft { language keptParts post { id slug } }
    ... on AltTextSuggestions { skippedPictures pictures { start end original url text } }
    ... on ProofreadingSuggestion { skippedParts corrections { start end original replacement reason } }";

/// What a subscription of this field asks for.
fn operation(field: &str) -> String {
    let (more, argument) = match field {
        "translate" => (", $language: String!", ", language: $language"),
        _ => ("", ""),
    };
    format!(
        "subscription($id: ID!{more}) {{ it: {field}(postId: $id{argument}) {{ __typename
            ... on AssistStarted {{ postVersion parts }}
            ... on AssistToken {{ part text }}
            ... on AssistDone {{ promptTokens completionTokens durationMs model degraded result {{ {RESULT} }} }}
            ... on AssistFailed {{ code message }}
        }} }}"
    )
}

fn variables(field: &str, post: &str, language: &str) -> Value {
    match field {
        "translate" => json!({ "id": post, "language": language }),
        _ => json!({ "id": post }),
    }
}

/// All that becomes of a subscription; an error of the request by itself.
async fn events(app: &TestApp, token: Option<&str>, field: &str, post: &str, language: &str) -> Vec<Value> {
    let mut stream = Sse::open(app, token, None, &operation(field), variables(field, post, language)).await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await.filter(|event| event.event == "next") {
        match event.data.get("errors") {
            Some(_) => events.push(event.data),
            None => events.push(data(event.data)["it"].take()),
        }
    }
    events
}

/// What comes last, for the editor.
async fn last(app: &TestApp, field: &str, post: &str) -> Value {
    last_in(app, field, post, "").await
}

async fn last_in(app: &TestApp, field: &str, post: &str, language: &str) -> Value {
    let mut events = events(app, Some(&app.tokens.editor), field, post, language).await;
    events.pop().expect("something becomes of it")
}

/// The result of what must come out.
async fn result(app: &TestApp, field: &str, post: &str) -> Value {
    let mut last = last(app, field, post).await;
    assert_eq!(last["__typename"], "AssistDone", "{field} of the post: {last:#}");
    last["result"].take()
}

/// The code of what must fail.
async fn failure(app: &TestApp, field: &str, post: &str) -> String {
    let last = last(app, field, post).await;
    assert_eq!(last["__typename"], "AssistFailed", "{field} of the post: {last:#}");
    last["code"].as_str().expect("a code").to_owned()
}

/// A draft of the owner's in a language; its id.
async fn written(app: &TestApp, language: &str, title: &str, markdown: &str) -> String {
    let input = json!({ "title": title, "markdown": markdown, "language": language });
    let made = done(app, &app.tokens.owner, "createPost", "post { id }", input).await;
    made["post"]["id"].as_str().expect("an id").to_owned()
}

/// A draft on ink.
async fn ink(app: &TestApp) -> String {
    written(app, "en", "On grinding", "Ink is made of soot. It are ground with *water* and `patience`.").await
}

/// What a post is at this moment.
async fn picture_of(app: &TestApp, id: &str) -> Value {
    let fields = "version title description markdown status tags { slug } translations { slug }";
    post(app, Some(&app.tokens.owner), id, fields).await
}

/// What a model was asked.
#[derive(Clone)]
struct Heard(Arc<Mutex<Vec<GenerateRequest>>>);

impl Heard {
    fn count(&self) -> usize {
        self.0.lock().expect("no test panics with it").len()
    }

    fn last(&self) -> GenerateRequest {
        self.0.lock().expect("no test panics with it").last().cloned().expect("the model was asked")
    }

    /// What it was told, and what it read.
    fn both(&self) -> (String, String) {
        let Prompt::Messages(messages) = self.last().prompt else { panic!("a prompt is of messages") };
        let [system, user] = messages.try_into().expect("two messages");
        (system.content, user.content)
    }
}

async fn site_on(model: Scripted, own: &[(&'static str, &str)]) -> (TestApp, Heard) {
    let heard = Heard(model.asked.clone());
    (model.start(own).await, heard)
}

/// What stands between the marks.
fn shown(prompt: &str) -> &str {
    let inside = prompt.split_once("<<<POST>>>\n").and_then(|(_, rest)| rest.split_once("\n<<<END>>>"));
    inside.unwrap_or_else(|| panic!("a text between marks: {prompt}")).0
}
