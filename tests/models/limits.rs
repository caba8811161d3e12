//! What a model may take, and how long its vectors may be.

use inkstone::inference::{EmbedRequest, Engine, EngineSettings, InferenceError, ModelState, Task};
use tokio_util::sync::CancellationToken;

use super::{EMBED_ENGLISH, engine, settings, weights};

async fn has_english() {
    engine().await.pull(EMBED_ENGLISH, std::sync::Arc::new(|_, _| ())).await.expect("the registry has it");
}

#[tokio::test]
async fn a_model_that_is_too_large_is_refused_with_both_numbers() {
    has_english().await;
    let own = tempfile::tempdir().expect("a folder");
    let limited = |memory_mb| EngineSettings { memory_mb: Some(memory_mb), ..settings(&weights(), own.path()) };
    let refused = Engine::open(limited(86)).expect("an engine").load(EMBED_ENGLISH).await.expect_err("it has 87 MiB");
    let refused = format!("{:#}", anyhow::Error::from(refused));
    assert!(refused.contains("take 87 MiB") && refused.contains("is 86"), "{refused}");
    let engine = Engine::open(limited(87)).expect("an engine");
    assert_eq!(engine.load(EMBED_ENGLISH).await.expect("it fits"), Task::Embed);
}

#[tokio::test]
async fn what_is_too_large_is_not_fetched() {
    let own = tempfile::tempdir().expect("a folder");
    let mut limited = EngineSettings { memory_mb: Some(10), ..settings(own.path(), own.path()) };
    limited.chosen.insert(Task::Embed, EMBED_ENGLISH.to_owned());
    let engine = Engine::open(limited).expect("an engine");
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    let state = loop {
        let models = engine.models();
        let model = models.into_iter().find(|model| model.card.name() == EMBED_ENGLISH).expect("it is known");
        if model.state != ModelState::Absent {
            break model.state;
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(&state, ModelState::Failed(why) if why.contains("87 MiB")), "{state:?}");
    stop.cancel();
    running.await.expect("it ends");
}

/// The English model, as one that was trained for its vectors to be cut.
#[tokio::test]
async fn vectors_are_cut_where_a_model_was_trained_for_it() {
    has_english().await;
    let own = tempfile::tempdir().expect("a folder");
    let folder = weights().join(EMBED_ENGLISH);
    let files = ["model.safetensors", "config.json", "tokenizer.json"].map(|name| {
        let path = folder.join(name);
        format!("[[model.file]]\nname = {name:?}\nsources = [{{ path = {path:?} }}]\n")
    });
    let entry = "[[model]]\nid = \"cut\"\nvariant = \"f32\"\ntask = \"embed\"\narchitecture = \"bert\"\nlicence = \"MIT\"\ncontext = 512\ndimensions = 384\nmin_dimensions = 64\n";
    let list = own.path().join("models.toml");
    std::fs::write(&list, format!("{entry}{}", files.concat())).expect("the list");
    let models = own.path().join("models");
    let engine = Engine::open(EngineSettings { models_file: Some(list), ..settings(&models, own.path()) });
    let engine = engine.expect("an engine");
    engine.pull("cut", std::sync::Arc::new(|_, _| ())).await.expect("its files are here");
    engine.load("cut").await.expect("it can be loaded");
    let ask = |dimensions| EmbedRequest { texts: vec!["ink".to_owned()], dimensions, ..EmbedRequest::default() };
    let whole = engine.embed(None, ask(None)).await.expect("a vector").vectors.remove(0);
    assert_eq!(whole.len(), 384, "all of it, if nobody asks for less");
    let cut = engine.embed(None, ask(Some(100))).await.expect("a vector").vectors.remove(0);
    let norm = whole[..100].iter().map(|x| x * x).sum::<f32>().sqrt();
    assert_eq!(cut.len(), 100);
    assert!(cut.iter().zip(&whole).all(|(cut, whole)| (cut * norm - whole).abs() < 1e-5), "the first ones, scaled");
    for wrong in [0, 63, 385] {
        let refused = engine.embed(None, ask(Some(wrong))).await.expect_err("it has no such length");
        assert!(
            matches!(&refused, InferenceError::BadInput(why) if why.contains("from 64 to 384")),
            "{wrong}: {refused}"
        );
    }
}
