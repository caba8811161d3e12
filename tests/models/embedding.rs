//! Texts to vectors.

use std::sync::Arc;

use inkstone::inference::{EmbedRequest, Engine, InferenceError, Overlong, Priority, TextKind};

use super::{EMBED, EMBED_ENGLISH, engine, settings, weights};

async fn embed(engine: &Engine, texts: &[String], kind: TextKind) -> Vec<Vec<f32>> {
    let request = EmbedRequest { texts: texts.to_vec(), kind, ..EmbedRequest::default() };
    engine.embed(None, request).await.expect("vectors").vectors
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// What onnxruntime gives for `reference/texts.json`; `benches/peers/inference/reference.py` made it.
fn reference(bytes: &[u8]) -> (Vec<String>, Vec<Vec<f32>>) {
    let texts: Vec<String> = serde_json::from_str(include_str!("reference/texts.json")).expect("texts");
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
    (texts, numbers.chunks_exact(384).map(<[f32]>::to_vec).collect())
}

fn agree(ours: &[Vec<f32>], theirs: &[Vec<f32>], texts: &[String]) {
    assert_eq!(ours.len(), theirs.len(), "a vector for each text");
    for ((ours, theirs), text) in ours.iter().zip(theirs).zip(texts) {
        let cosine = cosine(ours, theirs);
        assert!(cosine >= 0.9999, "{text:?}: the cosine with the reference is {cosine}");
    }
}

#[tokio::test]
async fn vectors_are_those_of_the_reference() {
    let (texts, theirs) = reference(include_bytes!("reference/multilingual-e5-small.f32"));
    agree(&embed(&engine().await, &texts, TextKind::Passage).await, &theirs, &texts);

    let own = tempfile::tempdir().expect("a folder");
    let english = Engine::open(settings(&weights(), own.path())).expect("an engine");
    english.pull(EMBED_ENGLISH, Arc::new(|_, _| ())).await.expect("the registry has it");
    english.load(EMBED_ENGLISH).await.expect("it can be loaded");
    let (texts, theirs) = reference(include_bytes!("reference/all-MiniLM-L6-v2.f32"));
    agree(&embed(&english, &texts, TextKind::Passage).await, &theirs, &texts);
}

#[tokio::test]
async fn a_vector_does_not_depend_on_what_came_with_it() {
    let engine = engine().await;
    let words = ["ink", "墨", "stone", "brush,", "砚台", "paper.", "\n", "1234", "🙂", "unwritten"];
    let text = |n: usize| -> String { (0..1 + n * 7 % 60).map(|k| words[(n * 3 + k * k) % words.len()]).collect() };
    let texts: Vec<String> = (0..500).map(text).collect();
    let together = embed(&engine, &texts, TextKind::Passage).await;
    for n in (0..500).step_by(23) {
        let alone = embed(&engine, &texts[n..=n], TextKind::Passage).await;
        let cosine = cosine(&alone[0], &together[n]);
        assert!(cosine >= 0.9999, "text {n}: the cosine of alone and together is {cosine}");
    }
}

#[tokio::test]
async fn a_question_finds_its_answer_in_both_languages() {
    let engine = engine().await;
    let passages = [
        "Grind the ink stick on the stone with a little water, slowly, until it is as dark as oil.",
        "The ferry to the island leaves twice a day, at nine and at four.",
        "制墨要先烧松烟，再与胶调和，捶打成锭。",
        "这道菜要用小火慢炖两个小时，最后再放盐。",
    ];
    let found = embed(&engine, &passages.map(str::to_owned), TextKind::Passage).await;
    for (query, best) in
        [("how do I make ink with an ink stick?", 0), ("墨是怎么做的？", 2), ("炖菜什么时候放盐", 3), ("boat times", 1)]
    {
        let query_vector = embed(&engine, &[query.to_owned()], TextKind::Query).await.remove(0);
        let of = |n: &usize| cosine(&query_vector, &found[*n]);
        let first = (0..4).max_by(|a, b| of(a).total_cmp(&of(b))).expect("four");
        assert_eq!(first, best, "{query:?} should find {:?}", passages[best]);
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_with_both_numbers_or_cut() {
    let engine = engine().await;
    let long = "ink ".repeat(3000);
    let texts = vec!["short".to_owned(), long];
    let request = EmbedRequest { texts: texts.clone(), ..EmbedRequest::default() };
    let refused = engine.embed(Some(EMBED), request).await.expect_err("it is too long");
    let InferenceError::TooLong { index: 1, tokens, limit: 512 } = refused else { panic!("{refused:?}") };
    assert!(tokens > 3000, "it tells how long the text is: {tokens}");
    let request = EmbedRequest { texts, overlong: Overlong::Cut, ..EmbedRequest::default() };
    let cut = engine.embed(None, request).await.expect("it is cut");
    assert_eq!(cut.vectors.len(), 2);
    assert!(cut.prompt_tokens <= 520, "no more is read than fits: {}", cut.prompt_tokens);
}

#[tokio::test]
async fn odd_texts_have_vectors_too() {
    let texts: Vec<String> = ["", " ", "\u{0}", "\u{FFFD}\u{200B}", "<s></s>[CLS]", "🙂"].map(str::to_owned).to_vec();
    for vector in embed(&engine().await, &texts, TextKind::Query).await {
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-4, "of norm 1");
    }
    let none = EmbedRequest::default();
    assert!(engine().await.embed(None, none).await.expect("none for none").vectors.is_empty());
    let shorter = EmbedRequest { texts: vec!["a".to_owned()], dimensions: Some(64), ..EmbedRequest::default() };
    let refused = engine().await.embed(None, shorter).await.expect_err("it was not trained for that");
    assert!(refused.to_string().contains("384"), "it says which length there is: {refused}");
}

#[tokio::test]
async fn a_reader_is_answered_while_a_site_is_indexed() {
    let engine = engine().await;
    let passage = "ink and paper and stone ".repeat(40);
    let bulk = EmbedRequest { texts: vec![passage; 120], priority: Priority::Bulk, ..EmbedRequest::default() };
    let indexing = tokio::spawn({
        let engine = engine.clone();
        async move { engine.embed(None, bulk).await.map(|done| done.vectors.len()) }
    });
    // The bulk has its place once it is tokenised; until then the reader would be first anyway.
    for _ in 0..20 {
        embed(&engine, &["a question".to_owned()], TextKind::Query).await;
        if indexing.is_finished() {
            break;
        }
    }
    assert!(!indexing.is_finished(), "twenty questions should be answered before 120 long passages");
    assert_eq!(indexing.await.expect("no panic"), Ok(120));
}
