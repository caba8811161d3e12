//! Search with real models, as `inkstone eval retrieval` and `inkstone reindex` have it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use diesel_async::RunQueryDsl;
use inkstone::app::App;
use inkstone::inference::{Engine, EngineSettings, Task};

use super::{EMBED, EMBED_ENGLISH, RERANK, settings, support, weights};

/// An engine of its own: which model answers is changed.
async fn engine(own: &Path, wanted: &[(Task, &str)]) -> Engine {
    let mut settings: EngineSettings = settings(&weights(), own);
    for (task, model) in wanted {
        settings.chosen.insert(*task, (*model).to_owned());
    }
    let engine = Engine::open(settings).expect("an engine");
    for model in wanted.iter().map(|(_, model)| *model).chain([EMBED_ENGLISH]) {
        engine.pull(model, Arc::new(|_, _| ())).await.expect("the package registry has the model");
    }
    engine
}

fn judged(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/retrieval").join(file);
    std::fs::read_to_string(path).expect("judgements")
}

/// NDCG@10 of one way, out of the table.
fn ndcg(table: &str, way: &str) -> f64 {
    let row = table.lines().find(|line| line.starts_with(way)).unwrap_or_else(|| panic!("{way} is measured: {table}"));
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    cells[5].parse().unwrap_or_else(|_| panic!("a number: {row}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_together_find_more_than_each_and_another_model_reads_beside() {
    let own = tempfile::tempdir().expect("a folder");
    let engine = engine(own.path(), &[(Task::Embed, EMBED), (Task::Rerank, RERANK)]).await;
    let (app, database) = support::opened(engine).await;
    measured(&app).await;
    read_beside(&app, own.path()).await;
    app.close().await.expect("it closes");
    drop(database);
}

async fn measured(app: &App) {
    let table = Box::pin(app.evaluate_retrieval(&judged("demo-site.toml"), false, |_, _| {}))
        .await
        .expect("search is measured");
    let (words, meaning, hybrid) = (ndcg(&table, "words"), ndcg(&table, "meaning"), ndcg(&table, "hybrid"));
    assert!(hybrid > words && hybrid > meaning && hybrid > 0.8, "{table}");
    let wrong = "[[query]]\ntext = \"ink\"\nposts = { nowhere = 2 }\n";
    assert!(
        Box::pin(app.evaluate_retrieval(wrong, false, |_, _| {})).await.is_err(),
        "a post that the site does not have"
    );
}

async fn read_beside(app: &App, own: &Path) {
    let told = Mutex::new(Vec::new());
    let progress = |done, all| told.lock().expect("no test panics with it").push((done, all));
    let name = app.reindex(EMBED_ENGLISH, progress).await.expect("the second reads it too");
    assert_eq!(name, EMBED_ENGLISH);
    let told = told.into_inner().expect("no test panics with it");
    let (last, all) = *told.last().expect("progress");
    assert!(told[0] == (0, all) && last == all && told.is_sorted() && told.len() > 2, "{told:?}");
    let mut conn = app.services.db.conn().await.expect("a connection");
    let sql = "SELECT model, count(*) AS pieces FROM chunk_vectors WHERE model NOT LIKE 'fake%' GROUP BY model ORDER BY model";
    let kept: Vec<Kept> = diesel::sql_query(sql).load(&mut *conn).await.expect("what is kept");
    drop(conn);
    let all = i64::try_from(all).expect("a number");
    let kept: Vec<_> = kept.into_iter().map(|it| (it.model, it.pieces)).collect();
    assert_eq!(kept, [(EMBED_ENGLISH.to_owned(), all), (EMBED.to_owned(), all)], "beside each other");
    let chosen = std::fs::read_to_string(own.join("deployed-models.toml")).expect("the choice is kept");
    assert!(chosen.contains(EMBED_ENGLISH), "{chosen}");
    let refused = app.reindex(RERANK, |_, _| {}).await.expect_err("it makes no vectors");
    assert!(refused.to_string().contains("makes no vectors"), "{refused}");
}

#[derive(diesel::QueryableByName)]
struct Kept {
    #[diesel(sql_type = diesel::sql_types::Text)]
    model: String,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pieces: i64,
}
