//! More vectors than are compared one by one.

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use inkstone::inference::Task;
use inkstone::store::chunk_vectors::{self, Meaning};
use inkstone::store::post_vectors;
use inkstone::store::posts::PostFilter;

use crate::support::TestApp;

/// 2,100 pieces of one post that turn from one way to the opposite step by step, so that an index leads from each to
/// the next, and 5 of another that point the other way.
fn pieces(model: &str, dimensions: i32) -> String {
    format!(
        "CREATE TEMP TABLE made AS SELECT gen_random_uuid() AS id, posts.id AS post_id, 1000 + n AS ordinal, \
         (SELECT array_agg(CASE at WHEN 1 THEN cos(turn) WHEN 2 THEN sin(turn) ELSE (random() - 0.5) / 100 END) \
            FROM generate_series(1, {dimensions}) AS at) AS vector \
         FROM posts, generate_series(1, 2100) AS n, \
           LATERAL (SELECT pi() * CASE slug WHEN 'two-clocks' THEN 1 ELSE n / 2100.0 END AS turn) AS turns \
         WHERE slug = 'grinding-ink' OR slug = 'two-clocks' AND n <= 5; \
         INSERT INTO chunks (id, post_id, ordinal, language, heading_path, text, words, hash) \
         SELECT id, post_id, ordinal, 'en', '[]', 'made up', '', sha256(id::text::bytea) FROM made; \
         INSERT INTO chunk_vectors (chunk_id, model, post_id, language, embedding) \
         SELECT id, '{model}', post_id, 'en', vector::vector FROM made; DROP TABLE made"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_finds_what_a_filter_leaves_however_far_it_is() {
    let app = TestApp::start_with(&[("job_workers", "0")]).await;
    let db = &app.services.db;
    let model = app.services.engine.deployed(Task::Embed).expect("a model").name();
    let mut conn = db.conn().await.expect("a connection");
    let (_, dimensions) = post_vectors::best_model(&mut conn).await.expect("it is asked for").expect("vectors");
    assert_eq!(chunk_vectors::index(db, &model).await.expect("it is looked at"), 0, "a demo site needs none");
    conn.batch_execute(&pieces(&model, dimensions)).await.expect("the pieces");
    drop(conn);
    assert_eq!(chunk_vectors::index(db, &model).await.expect("an index is made"), 1);
    assert_eq!(chunk_vectors::index(db, &model).await.expect("it is looked at"), 0, "it is there");

    let mut vector = vec![0.0; usize::try_from(dimensions).expect("a length")];
    vector[0] = 1.0;
    let languages = ["en".to_owned()];
    let meaning = Meaning { model: &model, vector: &vector, languages: &languages, limit: 60 };
    let mut tx = db.begin().await.expect("a transaction");
    tx.batch_execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off").await.expect("the index is used");
    let found = chunk_vectors::nearest(&mut tx, &meaning, &PostFilter::default()).await.expect("pieces");
    assert_eq!(found.len(), 60);
    assert!(found.iter().all(|near| near.similarity > 0.5), "{found:?}");
    let filter = PostFilter { tag_slug: Some("rust".into()), ..PostFilter::default() };
    let left = chunk_vectors::nearest(&mut tx, &meaning, &filter).await.expect("pieces");
    assert_eq!(left.iter().filter(|near| near.similarity < -0.5).count(), 5, "{left:?}");
    tx.rollback().await.expect("the transaction ends");

    // As a process leaves it that ends while it makes one.
    let spoil = "UPDATE pg_index SET indisvalid = false FROM pg_class WHERE oid = indexrelid AND relname LIKE 'chunk_vectors_near_%'";
    diesel::sql_query(spoil).execute(&mut *db.conn().await.expect("a connection")).await.expect("it is spoilt");
    assert_eq!(chunk_vectors::index(db, &model).await.expect("it is made anew"), 1);
    assert_eq!(chunk_vectors::index(db, &model).await.expect("it is looked at"), 0);
    app.stop().await;
}
