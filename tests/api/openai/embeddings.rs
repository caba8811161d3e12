//! Texts to vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const PATH: &str = "/v1/embeddings";

fn vector(embedding: &Value) -> Vec<f32> {
    embedding.as_array().expect("numbers").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let app = TestApp::start().await;
    let both = answer(&app, PATH, json!({ "model": "fake-embed/test", "input": ["wet ink", "dry ink stone"] })).await;
    assert_eq!(both["object"], "list");
    assert_eq!(both["model"], "fake-embed/test");
    assert_eq!(both["usage"], json!({ "prompt_tokens": 5, "total_tokens": 5 }));
    let data = both["data"].as_array().expect("a list");
    assert_eq!(data.len(), 2, "a vector for each text");
    for (index, input) in ["wet ink", "dry ink stone"].into_iter().enumerate() {
        let one = answer(&app, PATH, json!({ "model": "fake-embed", "input": input })).await;
        assert_eq!(one["data"][0]["embedding"], data[index]["embedding"], "{input:?} alone");
        assert_eq!((&data[index]["index"], &data[index]["object"]), (&json!(index), &json!("embedding")));
    }
    let vector = vector(&data[0]["embedding"]);
    assert_eq!(vector.len(), 16);
    let norm: f32 = vector.iter().map(|x| x * x).sum();
    assert!((norm - 1.0).abs() < 1e-5, "a vector has norm 1: {norm}");
}

#[tokio::test]
async fn base64_holds_the_same_numbers() {
    let app = TestApp::start().await;
    let floats = answer(&app, PATH, json!({ "input": "wet ink", "encoding_format": "float" })).await;
    let packed = answer(&app, PATH, json!({ "input": ["wet ink"], "encoding_format": "base64" })).await;
    let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().expect("a text")).expect("base64");
    let numbers: Vec<f32> = bytes.chunks(4).map(|x| f32::from_le_bytes(x.try_into().expect("four bytes"))).collect();
    assert_eq!(numbers, vector(&floats["data"][0]["embedding"]), "to the last bit");
}

#[tokio::test]
async fn a_vector_can_be_shorter_and_a_text_a_question() {
    let app = TestApp::start().await;
    let short = answer(&app, PATH, json!({ "input": "wet ink", "dimensions": 4, "user": "u", "unknown": [1] })).await;
    assert_eq!(vector(&short["data"][0]["embedding"]).len(), 4);
    let of =
        async |kind: &str| answer(&app, PATH, json!({ "input": "wet ink", "input_type": kind })).await["data"].take();
    let (query, passage) = (of("query").await, of("passage").await);
    assert_ne!(query, passage, "some models tell a question from what answers it");
    assert_eq!((of("search_query").await, of("search_document").await), (query, passage));
}

#[tokio::test]
async fn what_is_no_input_is_named() {
    let app = TestApp::start().await;
    let many = vec!["x"; 2049];
    let cases = [
        ("input", "missing", json!({ "model": "fake-embed" })),
        ("input", "missing", json!({ "input": null })),
        ("input", "empty", json!({ "input": [] })),
        ("input", "empty", json!({ "input": ["x", ""] })),
        ("input", "send texts", json!({ "input": [1, 2, 3] })),
        ("input", "send texts", json!({ "input": [[1, 2], [3]] })),
        ("input[1]", "expected a text", json!({ "input": ["x", { "text": "y" }] })),
        ("input", "expected a text, or a list", json!({ "input": 7 })),
        ("input", "at most 2048", json!({ "input": many })),
        ("encoding_format", "float or base64", json!({ "input": "x", "encoding_format": "int8" })),
        ("dimensions", "a whole number from 1", json!({ "input": "x", "dimensions": 0 })),
        ("dimensions", "a whole number", json!({ "input": "x", "dimensions": "4" })),
        ("model", "expected a text", json!({ "input": "x", "model": 4 })),
    ];
    wrong(&app, PATH, &cases).await;
}

#[tokio::test]
async fn what_the_model_refuses_is_told() {
    let app = TestApp::start().await;
    let long = json!({ "input": ["short", "too long ".repeat(400)] });
    let code = json!("context_length_exceeded");
    let message = refusal(post(&app, PATH, long).await, 400, "invalid_request_error", code, json!("input")).await;
    assert!(message.contains("text 1 has") && message.contains("512"), "{message}");
    for model in ["text-embedding-3-small", "fake-generate", ""] {
        let unknown = post(&app, PATH, json!({ "input": "x", "model": model })).await;
        let code = json!("model_not_found");
        let message = refusal(unknown, 404, "invalid_request_error", code, json!("model")).await;
        assert!(message.contains("fake-embed/test"), "{model:?}: it should say which there are: {message}");
    }
    let none = TestApp::start_on(Engine::default(), &[]).await;
    let response = post(&none, PATH, json!({ "input": "x" })).await;
    refusal(response, 404, "invalid_request_error", json!("model_not_found"), json!("model")).await;
}
