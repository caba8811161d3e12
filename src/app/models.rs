//! Models as the command line shows, fetches and tries them. No database is needed.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;

use super::settings;
use crate::config::Config;
use crate::inference::{
    EmbedRequest, Engine, GenerateOptions, GenerateRequest, InferenceError, Message, ModelStatus, Piece, Prompt,
    RerankRequest, Role, Task,
};

/// The engine as the settings have it, with no model loaded.
pub fn engine(config: &Config) -> Result<Engine> {
    Engine::open(settings::engine(config)).context("the models cannot be used")
}

/// Every model that is known, a line each.
pub fn list(engine: &Engine) -> String {
    let lines = engine.models().into_iter().map(|ModelStatus { card, state, deployed }| {
        let size = match card.bytes {
            0 => "-".to_owned(),
            bytes => format!("{} MB", bytes.div_ceil(1_000_000)),
        };
        let deployed = if deployed || engine.is_chosen(&card) { "yes" } else { "" };
        [card.name(), card.task.to_string(), state.word().to_owned(), deployed.to_owned(), size, card.licence]
    });
    super::people::table(["MODEL", "TASK", "STATE", "DEPLOYED", "SIZE", "LICENCE"], lines)
}

/// Fetches a model; `progress` is told of bytes and of how many there will be.
pub async fn pull(engine: &Engine, name: &str, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Result<String> {
    engine.pull(name, Arc::new(progress)).await.with_context(|| format!("{name} cannot be fetched"))
}

/// Loads a model and gives it one text: the answer goes to `out` as it comes.
pub async fn run(engine: &Engine, name: &str, text: &[String], out: &mut (dyn Write + Send)) -> Result<()> {
    let joined = text.join(" ");
    match engine.load(name).await? {
        Task::Embed => {
            let request = EmbedRequest { texts: vec![joined], ..EmbedRequest::default() };
            let vectors = engine.embed(Some(name), request).await?.vectors;
            writeln!(out, "{}", serde_json::to_string(&vectors.into_iter().next().unwrap_or_default())?)?;
        }
        Task::Rerank => {
            let (query, texts) = match text {
                [query, texts @ ..] if !texts.is_empty() => (query, texts),
                _ => bail!("a query and at least one text are needed"),
            };
            let request = RerankRequest { query: query.clone(), texts: texts.to_vec(), ..RerankRequest::default() };
            let ranking = engine.rerank(Some(name), request).await?;
            for (logit, text) in ranking.logits.iter().zip(texts) {
                writeln!(out, "{logit:8.3}  {text}")?;
            }
        }
        Task::Generate => {
            let prompt = Prompt::Messages(vec![Message::new(Role::User, joined)]);
            write_text(engine, name, prompt, GenerateOptions::default(), out).await?;
            writeln!(out)?;
        }
        Task::Describe => bail!("{name} reads pictures, which this command has none of"),
    }
    Ok(())
}

/// Gives what was written, in tokens, and how long the first one took.
async fn write_text(
    engine: &Engine,
    name: &str,
    prompt: Prompt,
    options: GenerateOptions,
    out: &mut (dyn Write + Send),
) -> Result<(usize, Duration)> {
    let begun = Instant::now();
    let mut first = None;
    let mut pieces = engine.generate(Some(name), GenerateRequest { prompt, tools: Vec::new(), options }).await?;
    let mut tokens = 0;
    while let Some(piece) = pieces.next().await {
        match piece? {
            Piece::Text { text, .. } => {
                first.get_or_insert_with(|| begun.elapsed());
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
            Piece::Done { usage, .. } => tokens = usage.completion_tokens,
        }
    }
    Ok((tokens, first.unwrap_or_else(|| begun.elapsed())))
}

/// Measures a model: a query alone and passages together, texts held against a query, or reading a
/// prompt and writing.
pub async fn bench(engine: &Engine, name: &str) -> Result<String> {
    match engine.load(name).await? {
        Task::Embed => bench_embedding(engine, name).await,
        Task::Generate => bench_writing(engine, name).await,
        Task::Rerank => bench_ranking(engine, name).await,
        Task::Describe => bail!("{name} reads pictures, which there is no measurement for"),
    }
}

const SENTENCE: &str = "The quick brown fox jumps over the lazy dog by the river and goes on to the next field. ";

/// So many words, from the `skip`th of the sentence on.
fn words(skip: usize, count: usize) -> String {
    SENTENCE.split_inclusive(' ').cycle().skip(skip).take(count).collect()
}

async fn bench_embedding(engine: &Engine, name: &str) -> Result<String> {
    let mut lines = String::new();
    for (label, length, texts, rounds) in [
        ("a query of 8 words", 8, 1, 50),
        ("passages of 12 words", 12, 64, 5),
        ("passages of 90 words", 90, 64, 3),
        ("passages of 300 words", 300, 32, 2),
    ] {
        let request = EmbedRequest { texts: vec![words(0, length); texts], ..EmbedRequest::default() };
        lines += &timed(label, texts, rounds, || engine.embed(Some(name), request.clone())).await?;
    }
    Ok(lines)
}

async fn bench_ranking(engine: &Engine, name: &str) -> Result<String> {
    let mut lines = String::new();
    for (label, length, rounds) in [("20 texts of 12 words", 12, 10), ("20 texts of 90 words", 90, 5)] {
        let texts = vec![words(0, length); 20];
        let request = RerankRequest { query: SENTENCE.to_owned(), texts, ..RerankRequest::default() };
        lines += &timed(label, 20, rounds, || engine.rerank(Some(name), request.clone())).await?;
    }
    Ok(lines)
}

/// The median of some rounds after one that warms up, as a line.
async fn timed<T, F>(label: &str, texts: usize, rounds: usize, run: impl Fn() -> F) -> Result<String>
where
    F: Future<Output = Result<T, InferenceError>>,
{
    run().await?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        run().await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    Ok(format!("{label:24} {:8.2} ms  {:8.0} texts/s\n", median * 1e3, texts as f64 / median))
}

async fn bench_writing(engine: &Engine, name: &str) -> Result<String> {
    let options = |seed: u64, max_tokens: usize| GenerateOptions {
        max_tokens: Some(max_tokens),
        seed: Some(seed),
        logit_bias: Default::default(),
        ..GenerateOptions::default()
    };
    let prompt = |skip: usize, count: usize| Prompt::Text(words(skip, count));
    let mut lines = String::new();
    let (_, first) = write_text(engine, name, prompt(3, 400), options(1, 1), &mut std::io::sink()).await?;
    lines += &format!("a prompt of 400 words   {:8.0} ms to the first token\n", first.as_secs_f64() * 1e3);
    for texts in [1, 4, 8] {
        let begun = Instant::now();
        let mut sinks: Vec<_> = (0..texts).map(|_| std::io::sink()).collect();
        let all = sinks
            .iter_mut()
            .enumerate()
            .map(|(n, sink)| write_text(engine, name, prompt(n + 5, 16), options(n as u64, 64), sink));
        let written = futures_util::future::try_join_all(all).await?;
        let tokens: usize = written.iter().map(|(tokens, _)| tokens).sum();
        lines +=
            &format!("{texts} text(s) at once       {:8.0} tokens/s\n", tokens as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(lines)
}
