//! Texts held against a query, in three shapes.

use super::*;

const PATH: &str = "/v1/rerank";
const TEXTS: [&str; 3] = ["dry paper", "wet ink stone", "wet paper"];

/// The share of 1 that so many words in common are worth to the fake model.
fn share(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn ranks(results: &Value, score: &str) -> Vec<(u64, f64)> {
    let results = results.as_array().unwrap_or_else(|| panic!("a list: {results}"));
    let pair = |result: &Value| (result["index"].as_u64().expect("an index"), result[score].as_f64().expect("a score"));
    results.iter().map(pair).collect()
}

#[tokio::test]
async fn documents_are_ranked_as_cohere_and_jina_tell_it() {
    let app = TestApp::start().await;
    let body = json!({ "model": "fake-rerank/test", "query": "wet ink stone", "documents": TEXTS });
    let ranked = answer(&app, PATH, body).await;
    let expected = [(1, share(3.0)), (2, share(1.0)), (0, share(0.0))];
    assert_eq!(ranks(&ranked["results"], "relevance_score"), expected, "the best first: {ranked}");
    assert_eq!(ranked["results"][0].get("document"), None, "texts were not asked for");
    assert_eq!(ranked["model"], "fake-rerank/test");
    assert_eq!(ranked["usage"]["total_tokens"], json!(16), "the query is read with each text");
    assert_eq!(ranked["meta"]["billed_units"]["search_units"], 1);
    assert!(ranked["id"].is_string());

    let objects: Vec<_> = TEXTS.iter().map(|text| json!({ "text": text, "title": "t" })).collect();
    let body = json!({ "query": "wet ink stone", "documents": objects, "top_n": 2, "return_documents": true });
    let best = answer(&app, PATH, body).await;
    assert_eq!(ranks(&best["results"], "relevance_score"), expected[..2]);
    assert_eq!(best["results"][0]["document"], json!({ "text": "wet ink stone" }));
}

#[tokio::test]
async fn texts_are_ranked_as_text_embeddings_inference_tells_it() {
    let app = TestApp::start().await;
    let ranked = answer(&app, PATH, json!({ "query": "wet ink stone", "texts": TEXTS, "return_text": true })).await;
    assert_eq!(ranks(&ranked, "score"), [(1, share(3.0)), (2, share(1.0)), (0, share(0.0))], "a bare list");
    assert_eq!(ranked[2]["text"], "dry paper");
    let raw = answer(&app, PATH, json!({ "query": "wet ink stone", "texts": TEXTS, "raw_scores": true })).await;
    assert_eq!(ranks(&raw, "score"), [(1, 3.0), (2, 1.0), (0, 0.0)], "as the model has them");
    assert_eq!(raw[0].get("text"), None);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let cases = [
        ("query", "missing", json!({ "documents": ["x"] })),
        ("query", "empty", json!({ "query": "", "documents": ["x"] })),
        ("documents", "missing", json!({ "query": "x" })),
        ("documents", "no text", json!({ "query": "x", "documents": [] })),
        ("texts", "no text", json!({ "query": "x", "texts": [] })),
        ("documents", "at most 1000", json!({ "query": "x", "documents": vec!["x"; 1001] })),
        ("documents[0]", "has no `text`", json!({ "query": "x", "documents": [{ "title": "x" }] })),
        ("documents[0]", "expected a text", json!({ "query": "x", "documents": [1] })),
        ("documents[0].text", "expected a text", json!({ "query": "x", "documents": [{ "text": 1 }] })),
        ("texts", "send one of them", json!({ "query": "x", "texts": ["x"], "documents": ["x"] })),
        ("top_n", "a whole number", json!({ "query": "x", "documents": ["x"], "top_n": 0 })),
        ("raw_scores", "true or false", json!({ "query": "x", "texts": ["x"], "raw_scores": 1 })),
    ];
    wrong(&app, PATH, &cases).await;
    let unknown = post(&app, PATH, json!({ "model": "rerank-v3.5", "query": "x", "documents": ["x"] })).await;
    refusal(unknown, 404, "invalid_request_error", json!("model_not_found"), json!("model")).await;
}
