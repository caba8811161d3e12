//! Models come, go, and break.

use std::time::Duration;

use inkstone::inference::{
    EmbedRequest, Engine, EngineSettings, InferenceError, ModelState, Overlong, RerankRequest, Task,
};
use tokio_util::sync::CancellationToken;

use super::{EMBED_ENGLISH, RERANK, engine, settings, weights};

const PATIENCE: Duration = Duration::from_secs(60);

fn texts() -> EmbedRequest {
    EmbedRequest { texts: vec!["ink".to_owned()], ..EmbedRequest::default() }
}

/// Waits until a model is in a state that `is` takes.
async fn until(engine: &Engine, name: &str, is: impl Fn(&ModelState) -> bool) -> ModelState {
    let found = async {
        loop {
            let models = engine.models();
            let model = models.iter().find(|model| model.card.name() == name).expect("it is known");
            if is(&model.state) {
                return model.state.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{name}: {:?}", engine.models()))
}

/// A folder that has the English model, changed.
async fn with_english(change: impl Fn(&std::path::Path)) -> tempfile::TempDir {
    engine().await.pull(EMBED_ENGLISH, std::sync::Arc::new(|_, _| ())).await.expect("the registry has it");
    let dir = copy_of(EMBED_ENGLISH);
    change(&dir.path().join(EMBED_ENGLISH));
    dir
}

/// A folder that has a copy of a fetched model's files.
fn copy_of(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join(model);
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in std::fs::read_dir(weights().join(model)).expect("the model") {
        let file = file.expect("a file");
        let name = file.file_name();
        // What was made of them is made anew.
        if !name.to_string_lossy().contains("laid-out") {
            std::fs::copy(file.path(), folder.join(name)).expect("a copy");
        }
    }
    dir
}

fn english(dir: &tempfile::TempDir) -> EngineSettings {
    let mut own = settings(dir.path(), dir.path());
    own.chosen.insert(Task::Embed, EMBED_ENGLISH.to_owned());
    own.fetch.offline = true;
    own
}

#[tokio::test]
async fn a_model_is_ready_by_itself_and_unloaded_when_nobody_asks() {
    let dir = with_english(|_| ()).await;
    let engine = Engine::open(EngineSettings { idle: Duration::from_millis(300), ..english(&dir) }).expect("an engine");
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    until(&engine, EMBED_ENGLISH, |state| *state == ModelState::Ready).await;
    let before = engine.embed(None, texts()).await.expect("vectors").vectors;
    // Longer than it stays: what comes now loads it again.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(engine.embed(None, texts()).await.expect("vectors again").vectors, before);
    let kept = std::fs::read_to_string(dir.path().join("deployed-models.toml")).expect("the choice is kept");
    assert!(kept.contains(EMBED_ENGLISH), "{kept}");
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn what_is_broken_takes_nothing_with_it() {
    let cut = |folder: &std::path::Path| {
        let file = std::fs::File::options().write(true).open(folder.join("model.safetensors")).expect("the file");
        file.set_len(1_000_000).expect("it is cut");
    };
    let other = |folder: &std::path::Path| std::fs::write(folder.join("config.json"), "{}").expect("written");
    for (change, says) in [(&cut as &dyn Fn(&std::path::Path), "sources"), (&other, "config.json")] {
        let dir = with_english(change).await;
        let engine = Engine::open(english(&dir)).expect("an engine");
        let stop = CancellationToken::new();
        let running = tokio::spawn(engine.clone().run(stop.clone()));
        let state = until(&engine, EMBED_ENGLISH, |state| matches!(state, ModelState::Failed(_))).await;
        let ModelState::Failed(why) = state else { unreachable!() };
        assert!(why.contains(says) || why.contains("offline"), "it says what is wrong: {why}");
        let refused = engine.embed(None, texts()).await.expect_err("no model answers");
        assert!(matches!(refused, InferenceError::NoModel { .. }), "{refused:?}");
        stop.cancel();
        running.await.expect("it ends");
    }
}

#[tokio::test]
async fn numbers_that_are_none_are_an_error_and_no_vector() {
    let dir = with_english(|folder| {
        let path = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&path).expect("the file");
        // In the layers: the embeddings are the first half.
        let layers = bytes.len() / 4 * 3;
        bytes[layers..layers + 40_000].fill(0xFF);
        std::fs::write(&path, bytes).expect("written");
    })
    .await;
    let engine = Engine::open(english(&dir)).expect("an engine");
    engine.load(EMBED_ENGLISH).await.expect("the file has the right shape");
    let refused = engine.embed(None, texts()).await.expect_err("its numbers are none");
    assert!(matches!(refused, InferenceError::Failed { .. }), "{refused:?}");
    let again = engine.embed(None, texts()).await.expect_err("and it still answers");
    assert!(matches!(again, InferenceError::Failed { .. }), "{again:?}");
}

#[tokio::test]
async fn a_deployed_model_takes_over_without_a_restart() {
    let dir = with_english(|_| ()).await;
    let engine = Engine::open(EngineSettings { chosen: Default::default(), ..english(&dir) }).expect("an engine");
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    // As `inkstone models deploy` does it in another process.
    let other = Engine::open(EngineSettings { chosen: Default::default(), ..english(&dir) }).expect("an engine");
    other.deploy("all-MiniLM-L6-v2").expect("it is known");
    until(&engine, EMBED_ENGLISH, |state| *state == ModelState::Ready).await;
    assert_eq!(engine.embed(None, texts()).await.expect("vectors").model, EMBED_ENGLISH);
    let unknown = other.deploy("gpt-9").expect_err("nobody knows it").to_string();
    assert!(unknown.contains("gpt-9") && unknown.contains(EMBED_ENGLISH), "it says what there is: {unknown}");
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn a_full_queue_says_so_at_once() {
    let dir = with_english(|_| ()).await;
    let engine = Engine::open(EngineSettings { max_queue: 4, ..english(&dir) }).expect("an engine");
    engine.load(EMBED_ENGLISH).await.expect("it can be loaded");
    let long = EmbedRequest { texts: vec!["ink and stone ".repeat(100); 60], ..EmbedRequest::default() };
    // The first has its place, and takes longer than the others need to come.
    let answers = futures_util::future::join_all((0..16).map(|_| engine.embed(None, long.clone()))).await;
    let (answered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!answered.is_empty() && !refused.is_empty(), "{} answered, {} refused", answered.len(), refused.len());
    for embeddings in answered.into_iter().flatten() {
        assert_eq!(embeddings.vectors.len(), 60, "what has a place is answered whole");
    }
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(matches!(error, InferenceError::Overloaded { retry_after } if !retry_after.is_zero()), "{error:?}");
    }
}

#[tokio::test]
async fn another_stands_in_for_a_deployed_model_that_cannot_be_had() {
    engine().await;
    let dir = copy_of(RERANK);
    let mut own = settings(dir.path(), dir.path());
    own.chosen.remove(&Task::Rerank);
    own.fetch.offline = true;
    let engine = Engine::open(own).expect("an engine");
    engine.deploy("bge-reranker-base").expect("it is known");
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.clone().run(stop.clone()));
    until(&engine, RERANK, |state| *state == ModelState::Ready).await;
    let texts = vec!["Ink.".to_owned(), "A ferry.".to_owned()];
    let request = RerankRequest { query: "ink".to_owned(), texts, overlong: Overlong::Cut };
    assert_eq!(engine.rerank(None, request).await.expect("logits").model, RERANK);
    let kept = std::fs::read_to_string(dir.path().join("deployed-models.toml")).expect("the choice is kept");
    assert!(kept.contains("bge-reranker-base"), "it is still wanted: {kept}");
    // What stands in is not loaded again and again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    until(&engine, RERANK, |state| *state == ModelState::Ready).await;
    stop.cancel();
    running.await.expect("it ends");
}
