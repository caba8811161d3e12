//! Filling the database.

use anyhow::{Context, Result, bail, ensure};
use inkstone::services::words::ANALYSIS;
use tokio_postgres::NoTls;

const SEED: &str = include_str!("seed.sql");
const SEED_SEARCH: &str = include_str!("seed_search.sql");

/// Fills a database that `inkstone migrate up` has prepared; with the name of a model for embeddings also
/// what search would know, with vectors that this model might have made.
///
/// Errors: it cannot be reached, has no tables yet, or was filled before.
pub async fn seed(url: &str, model: Option<&str>) -> Result<()> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("the database cannot be reached (TLS is not spoken here)")?;
    tokio::spawn(connection);
    let posts = client.query_one("SELECT count(*) FROM posts WHERE slug LIKE 'load-post-%'", &[]).await;
    let posts: i64 = posts.context("the tables cannot be read: run `inkstone migrate up` first")?.get(0);
    if posts > 0 {
        bail!("the database holds {posts} posts of an earlier run: give another");
    }
    client.batch_execute(SEED).await.context("seeding failed, and nothing was kept")?;
    if let Some(model) = model {
        ensure!(
            model.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-_.".contains(&c)),
            "{model:?} is no model's name"
        );
        let search = SEED_SEARCH.replace("MODEL", model).replace("ANALYSIS", &ANALYSIS.to_string());
        client.batch_execute(&search).await.context("what search knows could not be made up")?;
    }
    for table in ["users", "posts", "comments", "reactions"] {
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0);
        println!("{count:>8} {table}");
    }
    Ok(())
}
