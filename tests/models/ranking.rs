//! Texts held against a question.

use inkstone::inference::{EmbedRequest, InferenceError, Overlong, RerankRequest, TextKind};

use super::{RERANK, engine};

const QUESTION: &str = "How many people live in Berlin?";

/// Texts, with the logits of the same weights in f32 (numpy). onnxruntime, which also computes in
/// 8 bits, gives 9.204, -4.132, -11.259, -3.257 and 2.712.
const TEXTS: [(&str, f32); 5] = [
    ("Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.", 9.0851),
    ("Berlin is well known for its museums.", -3.9343),
    ("The mould on old bread is a fungus.", -11.2579),
    ("Paris has about two million inhabitants.", -3.5457),
    ("In the capital of Germany live more than three and a half million people.", 2.6471),
];

fn ask(query: &str, texts: impl IntoIterator<Item = impl Into<String>>, overlong: Overlong) -> RerankRequest {
    RerankRequest { query: query.to_owned(), texts: texts.into_iter().map(Into::into).collect(), overlong }
}

#[tokio::test]
async fn logits_are_those_of_the_reference() {
    let engine = engine().await;
    let texts = TEXTS.map(|(text, _)| text);
    let ranking = engine.rerank(Some(RERANK), ask(QUESTION, texts, Overlong::Refuse)).await.expect("a ranking");
    assert_eq!((ranking.model.as_str(), ranking.logits.len()), (RERANK, TEXTS.len()));
    for ((text, expected), logit) in TEXTS.iter().zip(&ranking.logits) {
        assert!((logit - expected).abs() < 0.2, "{text}: {logit} is not {expected}");
    }
    for ((text, _), together) in TEXTS.iter().zip(&ranking.logits) {
        let alone = engine.rerank(None, ask(QUESTION, [*text], Overlong::Refuse)).await.expect("a ranking").logits[0];
        assert!((alone - together).abs() < 0.02, "{text}: {alone} alone and {together} among others");
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_for_its_question_is_refused_or_cut() {
    let engine = engine().await;
    let texts = || ["short".to_owned(), format!("{} {}", TEXTS[0].0, "and so on ".repeat(300))];
    let refused = engine.rerank(None, ask(QUESTION, texts(), Overlong::Refuse)).await.expect_err("it is too long");
    assert!(matches!(refused, InferenceError::TooLong { index: 1, tokens: 900.., limit: 512 }), "{refused:?}");
    let cut = engine.rerank(None, ask(QUESTION, texts(), Overlong::Cut)).await.expect("a ranking").logits;
    assert!(cut[1] > cut[0], "what is left of it still answers: {cut:?}");
    let none = engine.rerank(None, ask(QUESTION, [""; 0], Overlong::Refuse)).await.expect("nothing to rank").logits;
    assert!(none.is_empty());
    let odd = engine.rerank(None, ask("", ["", "漢字 🦀"], Overlong::Refuse)).await.expect("a ranking").logits;
    assert!(odd.len() == 2 && odd.iter().all(|logit| logit.is_finite()), "{odd:?}");
}

#[tokio::test]
async fn a_reranker_does_not_embed() {
    let engine = engine().await;
    let request = EmbedRequest { texts: vec!["ink".to_owned()], kind: TextKind::Query, ..EmbedRequest::default() };
    let refused = engine.embed(Some(RERANK), request).await.expect_err("it gives no vectors");
    assert!(matches!(refused, InferenceError::UnknownModel { .. }), "{refused:?}");
}
