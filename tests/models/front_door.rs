//! The models through the API.

use serde_json::{Value, json};

use super::support::{TestApp, code, data};
use super::{EMBED, WRITE, engine};

const EMBEDDED: &str = "query($input: EmbedInput!) { embed(input: $input) { model vectors promptTokens } }";

#[tokio::test(flavor = "multi_thread")]
async fn graphql_shows_the_models_and_embeds_for_those_who_may() {
    let app = TestApp::start_on(engine().await, &[]).await;
    let models =
        data(app.ask("{ models { name task state isDeployed dimensions contextLength failure } }", json!({})).await);
    let listed: Vec<&Value> = models["models"].as_array().expect("a list").iter().collect();
    let embed = listed.iter().find(|model| model["name"] == EMBED).expect("the model is listed");
    assert_eq!(
        **embed,
        json!({ "name": EMBED, "task": "EMBED", "state": "READY", "isDeployed": true, "dimensions": 384, "contextLength": 512, "failure": null })
    );
    assert!(listed.iter().any(|model| model["name"] == WRITE && model["task"] == "GENERATE"));

    let input = json!({ "input": { "texts": ["ink", "墨"], "kind": "QUERY" } });
    let done = data(app.ask_as(Some(&app.tokens.editor), EMBEDDED, input.clone()).await);
    assert_eq!(done["embed"]["vectors"].as_array().map(Vec::len), Some(2));
    assert_eq!(done["embed"]["vectors"][0].as_array().map(Vec::len), Some(384));
    assert_eq!(code(&app.ask(EMBEDDED, input.clone()).await), "UNAUTHENTICATED");
    assert_eq!(code(&app.ask_as(Some(&app.tokens.reader), EMBEDDED, input).await), "FORBIDDEN");
    let none = json!({ "input": { "texts": [] } });
    assert_eq!(code(&app.ask_as(Some(&app.tokens.owner), EMBEDDED, none).await), "BAD_USER_INPUT");
    let unknown = json!({ "input": { "texts": ["a"], "model": "gpt-9" } });
    assert_eq!(code(&app.ask_as(Some(&app.tokens.owner), EMBEDDED, unknown).await), "NOT_FOUND");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_deploys() {
    const DEPLOY: &str = "mutation($model: String!) { deployModel(input: { model: $model }) { model { name } userErrors { field code } } }";
    let app = TestApp::start_on(engine().await, &[]).await;
    assert_eq!(code(&app.ask_as(Some(&app.tokens.editor), DEPLOY, json!({ "model": EMBED })).await), "FORBIDDEN");
    let refused = app.own(DEPLOY, json!({ "model": "gpt-9" })).await;
    assert_eq!(
        refused["deployModel"],
        json!({ "model": null, "userErrors": [{ "field": "model", "code": "NOT_FOUND" }] })
    );
    let done = app.own(DEPLOY, json!({ "model": EMBED })).await;
    assert_eq!(done["deployModel"]["model"]["name"], EMBED);
    app.stop().await;
}
