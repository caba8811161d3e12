//! Against a real backend. Starting one costs a second or two, so each test asks several things.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

use super::*;

async fn client(connector: &Connector) -> Client {
    let stream = connector.connect().await.expect("the database takes connections");
    let mut config = tokio_postgres::Config::new();
    config.user("postgres").dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await.expect("it greets its clients");
    tokio::spawn(connection);
    client
}

async fn text(client: &Client, sql: &str) -> Result<String, Error> {
    let rows = client.simple_query(sql).await?;
    let first = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(first.unwrap_or_default().to_owned())
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    let error = outcome.expect_err("the statement fails");
    error.code().map_or_else(|| error.to_string(), |state| state.code().to_owned())
}

fn temp() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    (temp, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_a_restart_and_a_template_copy() {
    let (temp, dir) = temp();
    let first = Embedded::start(&dir).await.unwrap();
    let sql = client(&first.connector()).await;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(text(&sql, &format!("SHOW {setting}")).await.unwrap(), "on", "{setting}");
    }
    assert_eq!(text(&sql, "SHOW timezone").await.unwrap(), "UTC");
    assert_eq!(text(&sql, "SHOW client_encoding").await.unwrap(), "UTF8");
    sql.batch_execute("CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE kept (v vector(2))").await.unwrap();
    sql.execute("INSERT INTO kept VALUES ('[1,2]')", &[]).await.unwrap();
    let second = Embedded::start(&dir).await.err().expect("one directory has one owner");
    assert!(matches!(second, EmbeddedError::InUse { .. }), "got {second:?}");
    first.maintain().await.unwrap();
    let connector = first.connector();
    first.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(connector.connect().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert!(sql.simple_query("SELECT 1").await.is_err(), "its connection is closed");

    let copy = temp.path().join("copy");
    copy_template(&dir, &copy).unwrap();
    let (again, copied) = tokio::join!(Embedded::start(&dir), Embedded::start(&copy));
    for database in [again.unwrap(), copied.unwrap()] {
        let sql = client(&database.connector()).await;
        assert_eq!(text(&sql, "SELECT v FROM kept").await.unwrap(), "[1,2]");
        database.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_idle_client_does_not_keep_the_turn() {
    let (_temp, dir) = temp();
    let database = Embedded::start_with(&dir, Duration::from_millis(300)).await.unwrap();
    let connector = database.connector();
    let sql = client(&connector).await;
    sql.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();

    let lost = client(&connector).await;
    lost.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let left = lost.prepare("SELECT a FROM t").await.unwrap();
    drop(lost);
    assert_eq!(text(&sql, "SELECT count(*) FROM t").await.unwrap(), "0", "rolled back on leaving");
    assert_eq!(text(&sql, "SELECT count(*) FROM pg_prepared_statements").await.unwrap(), "0", "closed on leaving");
    drop(left);

    let idle = client(&connector).await;
    idle.batch_execute("BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(text(&sql, "SELECT count(*) FROM t").await.unwrap(), "0", "rolled back on idling");
    assert!(idle.simple_query("COMMIT").await.is_err(), "its connection is closed");

    let open = client(&connector).await;
    open.batch_execute("BEGIN; INSERT INTO t VALUES (3)").await.unwrap();
    database.shutdown(Duration::from_millis(50)).await.unwrap();
    let database = Embedded::start(&dir).await.unwrap();
    let sql = client(&database.connector()).await;
    assert_eq!(text(&sql, "SELECT count(*) FROM t").await.unwrap(), "0", "rolled back on shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_large_values_and_pipelines_are_served() {
    let (_temp, dir) = temp();
    let database = Embedded::start(&dir).await.unwrap();
    let (one, two) = (client(&database.connector()).await, client(&database.connector()).await);
    one.batch_execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(code(one.simple_query("COPY t FROM STDIN").await), "0A000");

    // More errors than one session stands, so the prepared statements move to the next session.
    let (insert, count) =
        (one.prepare("INSERT INTO t VALUES (1)").await.unwrap(), two.prepare("SELECT count(*) FROM t").await.unwrap());
    for _ in 0..450 {
        assert_eq!(code(one.execute(&insert, &[]).await), "23505");
    }
    assert_eq!(two.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 1);

    let large = "x".repeat(5 << 20);
    let row = one.query_one("SELECT repeat($1::text, 4), length($1)", &[&large]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0).len(), row.get::<_, i32>(1)), (20 << 20, 5 << 20));

    let statement = (one.prepare("SELECT $1::int").await.unwrap(), two.prepare("SELECT $1::int").await.unwrap());
    let pipelined = |client, statement| async move {
        let sent: Vec<i32> = (0..200).collect();
        let ask = sent
            .iter()
            .map(|n| async move { Client::query_one(client, statement, &[n]).await.unwrap().get::<_, i32>(0) });
        assert_eq!(futures_util::future::join_all(ask).await, sent);
    };
    tokio::join!(pipelined(&one, &statement.0), pipelined(&two, &statement.1));
    // A runaway recursion breaks the session, not the database.
    one.batch_execute("CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'SELECT f(n + 1)'").await.unwrap();
    assert!(one.simple_query("SELECT f(1)").await.is_err());
    assert_eq!(two.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 1, "the others go on");
    drop(database);
}
