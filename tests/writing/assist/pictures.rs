//! Alternative texts, by a provider's model that reads pictures: here a server that keeps what it is asked.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post as route;
use inkstone::inference::{Engine, ProviderSettings, Task};

use super::jobs::{accept, ask_for, waiting, work};
use super::*;
use crate::deeds::refused;
use crate::support::code;

type Asked = Arc<Mutex<Vec<Value>>>;

const TEXT: &str = "# 墨😀\n\n![](/media/stone.png) Water.\n\n![an *old* text](https://a.example/x.png \"t\")\n\n\
                    ```\n![](no.png)\n```\n\n[![](broken.png)](/large)\n";

/// Says `said` of each picture, and refuses those whose address ends with `broken.png`.
async fn provider(said: &'static str) -> (ProviderSettings, Asked) {
    let asked = Asked::default();
    let kept = asked.clone();
    let answer = move |Json(body): Json<Value>| async move {
        let is_broken = body.to_string().contains("broken.png\"");
        kept.lock().expect("no test panics with it").push(body);
        if is_broken {
            let error = json!({ "error": { "message": "cannot fetch the image" } });
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        }
        let piece = json!({ "choices": [{ "delta": { "content": said }, "finish_reason": null }] });
        let last = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 5 } });
        let events = format!("data: {piece}\n\ndata: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
        ([(CONTENT_TYPE, "text/event-stream")], events).into_response() as Response
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let router = axum::Router::new().route("/v1/chat/completions", route(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let timeout = std::time::Duration::from_secs(20);
    let models = [(Task::Describe, "sees".to_owned()), (Task::Generate, "writes".to_owned())].into();
    (ProviderSettings { url, key: None, timeout, models }, asked)
}

async fn site(said: &'static str, own: &[(&'static str, &str)]) -> (TestApp, Asked) {
    let (provider, asked) = provider(said).await;
    let engine = Engine::of([]).with_provider(&provider).expect("a provider");
    let own: Vec<_> = own.iter().copied().chain([("public_url", "https://ink.example")]).collect();
    (TestApp::start_on(engine, &own).await, asked)
}

#[tokio::test]
async fn each_picture_is_shown_to_the_model() {
    let (app, asked) = site("\"A stone, wet\nwith [ink] & *soot*.\"", &[]).await;
    let id = written(&app, "en", "On grinding", TEXT).await;
    let end = last(&app, "altText", &id).await;
    let text = "A stone, wet with [ink] & *soot*.";
    let expected = json!({ "__typename": "AltTextSuggestions", "skippedPictures": 1, "pictures": [
        { "start": 9, "end": 9, "original": "", "url": "/media/stone.png", "text": text },
        { "start": 39, "end": 52, "original": "an *old* text", "url": "https://a.example/x.png", "text": text },
    ] });
    assert_eq!(end["result"], expected, "{end:#}");
    assert_eq!((&end["model"], &end["promptTokens"]), (&json!("sees/provider"), &json!(14)));
    let kept = asked;
    let asked = kept.lock().expect("no test panics with it").clone();
    let parts = |n: usize| asked[n]["messages"][1]["content"].clone();
    let urls: Vec<_> = (0..asked.len()).map(|n| parts(n)[1]["image_url"]["url"].clone()).collect();
    let places = ["media/stone.png", "x.png", "broken.png"].map(|end| end.to_owned());
    assert_eq!(urls[0], "https://ink.example/media/stone.png");
    assert!(urls.iter().zip(&places).all(|(url, end)| url.as_str().is_some_and(|url| url.ends_with(end))), "{urls:?}");
    assert!(urls.iter().all(|url| url.as_str().is_some_and(|url| url.starts_with("https://"))), "{urls:?}");
    let words = parts(0)[0]["text"].as_str().expect("words").to_owned();
    assert!(
        shown(&words).contains("THE PICTURE: ](/media/stone.png) Water.") && shown(&words).starts_with("Title: On")
    );
    assert_eq!(picture_of(&app, &id).await["markdown"], TEXT, "nothing comes of it by itself");
    result(&app, "summarize", &id).await;
    let asked = kept.lock().expect("no test panics with it").clone();
    assert_eq!(asked.last().expect("a request")["model"], "writes");
    let foreign =
        ["repetition_penalty", "top_k", "min_p"].map(|word| asked.iter().any(|body| body.get(word).is_some()));
    assert_eq!(foreign, [false; 3], "OpenAI's API refuses what it has no word for");
}

#[tokio::test]
async fn what_is_accepted_stands_between_the_brackets() {
    let (app, _) = site("A stone, wet with [ink](https://evil.example) & *soot*.", &[("job_workers", "0")]).await;
    let id = written(&app, "en", "On grinding", TEXT).await;
    ask_for(&app, "ALT_TEXT", &[&id], None).await;
    work(&app).await;
    let proposal = waiting(&app, &id, "ALT_TEXT").await;
    let choose = |places: Value| json!({ "id": proposal["id"], "pictures": places });
    let editor = Some(app.tokens.editor.as_str());
    assert_eq!(refused(&app, editor, "acceptProposal", choose(json!([2]))).await, json!([["INVALID", "pictures"]]));
    let other = json!({ "id": proposal["id"], "corrections": [0] });
    assert_eq!(refused(&app, editor, "acceptProposal", other).await, json!([["INVALID", "corrections"]]));
    let chosen = accept(&app, choose(Value::Null)).await;
    let said = "A stone, wet with \\[ink\\](https://evil.example) \\& \\*soot\\*.";
    assert_eq!(chosen["post"]["markdown"], TEXT.replacen("![](/media", &format!("![{said}](/media"), 1));
    let html = post(&app, editor, &id, "html").await["html"].as_str().expect("HTML").to_owned();
    assert!(html.contains("alt=\"A stone, wet with [ink](https://evil.example) &amp; *soot*.\""), "{html}");
    ask_for(&app, "ALT_TEXT", &[&id], None).await;
    work(&app).await;
    let proposal = waiting(&app, &id, "ALT_TEXT").await;
    let again = |places: Value| json!({ "id": proposal["id"], "pictures": places });
    let none = refused(&app, editor, "acceptProposal", again(Value::Null)).await;
    assert_eq!(none, json!([["INVALID", "pictures"]]), "what somebody wrote is not taken away unasked");
    let chosen = accept(&app, again(json!([1]))).await;
    assert!(chosen["post"]["markdown"].as_str().is_some_and(|text| !text.contains("an *old* text")));
}

#[tokio::test]
async fn without_pictures_or_a_model_nothing_is_described() {
    let (app, asked) = site("…", &[]).await;
    let bare = ink(&app).await;
    assert_eq!(failure(&app, "altText", &bare).await, "BAD_USER_INPUT");
    let local = written(&app, "en", "Local", "![](file:///etc/passwd) ![](javascript:x)").await;
    assert_eq!(failure(&app, "altText", &local).await, "BAD_USER_INPUT");
    assert_eq!(asked.lock().expect("no test panics with it").len(), 0);
    let id = written(&app, "en", "Pictures", TEXT).await;
    assert_eq!(failure(&app, "altText", &id).await, "BAD_MODEL_OUTPUT", "it says nothing");
    let app = TestApp::start_on(Engine::of([]), &[]).await;
    let id = written(&app, "en", "Pictures", TEXT).await;
    let last = last(&app, "altText", &id).await;
    assert_eq!(last["code"], "NOT_FOUND", "{last:#}");
    assert!(last["message"].as_str().is_some_and(|said| said.contains("provider_describe_model")), "{last:#}");
    let input = json!({ "kind": "ALT_TEXT", "postIds": [id] });
    let denied = refused(&app, Some(&app.tokens.editor), "assistPosts", input.clone()).await;
    assert_eq!(denied, json!([["WRONG_STATE", "kind"]]));
    let assist = "mutation($input: AssistPostsInput!) { assistPosts(input: $input) { jobIds } }";
    let denied = app.ask_as(Some(&app.tokens.reader), assist, json!({ "input": input })).await;
    assert_eq!(code(&denied), "FORBIDDEN");
}
