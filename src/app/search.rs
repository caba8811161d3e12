//! Search as the command line measures it and has it learn.

use anyhow::{Context, Result, bail};
use chrono::Utc;

use super::App;
use crate::inference::Task;
use crate::jobs;
use crate::services::evaluating::{self, Measured, Measures};
use crate::services::indexing;
use crate::store::chunk_vectors;

impl App {
    /// Brings the models that search needs into this process, and has them read what is published.
    async fn prepare_search(&self) -> Result<()> {
        let engine = &self.services.engine;
        if !engine.prepare(Task::Embed).await {
            bail!("there is no model for embeddings: `inkstone models pull` brings one");
        }
        engine.prepare(Task::Rerank).await;
        while indexing::catch_up(&self.services, Utc::now()).await? > 0 {
            jobs::run_due(&self.services).await?;
        }
        let model = engine.deployed(Task::Embed).map(|card| card.name()).context("the model was unloaded")?;
        self.read_all(&model, |_, _| {}).await
    }

    /// Has a model read what it has not read.
    async fn read_all(&self, model: &str, progress: impl Fn(u64, u64)) -> Result<()> {
        loop {
            let (all, read) = chunk_vectors::coverage(&mut *self.services.db.conn().await?, model).await?;
            progress(u64::try_from(read)?, u64::try_from(all)?);
            let unread = chunk_vectors::unread(&mut *self.services.db.conn().await?, model, 64).await?;
            if unread.is_empty() {
                chunk_vectors::index(&self.services.db, model).await?;
                return Ok(());
            }
            if !indexing::read_batch(&self.services, model, unread).await? {
                bail!("{model} does not answer: the log says why");
            }
        }
    }

    /// Has a model read the whole site beside the one that answers, and then lets it answer.
    pub async fn reindex(&self, model: &str, progress: impl Fn(u64, u64)) -> Result<String> {
        let engine = &self.services.engine;
        if engine.load(model).await? != Task::Embed {
            bail!("{model} makes no vectors: `inkstone models list` shows which do (embed)");
        }
        let name = engine.deployed(Task::Embed).map(|card| card.name()).context("the model was unloaded")?;
        while indexing::catch_up(&self.services, Utc::now()).await? > 0 {
            jobs::run_due(&self.services).await?;
        }
        self.read_all(&name, progress).await?;
        engine.deploy(&name)?;
        Ok(name)
    }

    /// Measures search on judged queries: a table, and what was missed.
    pub async fn evaluate_retrieval(
        &self,
        judgements: &str,
        all: bool,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<String> {
        let judgements = evaluating::read(judgements)?;
        self.prepare_search().await?;
        let measured = Box::pin(evaluating::retrieval(&self.services, &judgements, &progress)).await?;
        let mut lines = super::people::table(
            ["WAY", "RECALL@1", "RECALL@5", "RECALL@10", "MRR", "NDCG@10", "MEDIAN"],
            measured.iter().map(row),
        );
        lines.push('\n');
        lines += &by_group(&measured);
        for way in measured.iter().filter(|_| all) {
            lines += &format!("\nnot first ({}):\n", way.way);
            way.missed.iter().for_each(|(query, first)| lines += &format!("  {query}: {first}\n"));
        }
        Ok(lines)
    }
}

fn row(way: &Measured) -> [String; 7] {
    let Measures { recall: [one, five, ten], reciprocal_rank, ndcg, .. } = way.all;
    let name = if way.degraded { format!("{} (degraded)", way.way) } else { way.way.to_owned() };
    let [one, five, ten, rank, ndcg] = [one, five, ten, reciprocal_rank, ndcg].map(|value| format!("{value:.3}"));
    [name, one, five, ten, rank, ndcg, format!("{:.1} ms", way.took.as_secs_f64() * 1e3)]
}

/// NDCG@10 of each kind of query.
fn by_group(measured: &[Measured]) -> String {
    let groups = measured.first().map(|way| way.groups.clone()).unwrap_or_default();
    let rows = groups.into_iter().map(|(group, measures)| {
        let mut row =
            [format!("{group} ({})", measures.queries), String::new(), String::new(), String::new(), String::new()];
        for (cell, way) in row[1..].iter_mut().zip(measured) {
            *cell = format!("{:.3}", way.groups.get(&group).copied().unwrap_or_default().ndcg);
        }
        row
    });
    super::people::table(["NDCG@10 OF", "WORDS", "MEANING", "HYBRID", "RERANKED"], rows)
}
