//! A database per test: copies of a template, embedded or on a server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use inkstone::store::embedded::copy_template;
use tokio_postgres::NoTls;

/// What the copies are made from.
pub enum Template {
    Embedded(tempfile::TempDir),
    Server { url: String, name: String },
}

/// One test's database, gone when dropped.
pub struct Database(Arc<Held>);

enum Held {
    Embedded(tempfile::TempDir),
    Server { url: String, name: String },
}

type Settings = Vec<(&'static str, String)>;

/// A folder for a database, gone when dropped.
///
/// One has a thousand small files, which a disk takes longer to make and to forget than most tests take: it is in
/// memory where there is room.
pub fn folder() -> tempfile::TempDir {
    const ROOM: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).is_ok_and(|is| is.f_bavail * is.f_frsize >= ROOM);
    let in_memory = if room { tempfile::tempdir_in(memory).ok() } else { None };
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("a folder"))
}

impl Template {
    pub async fn begin() -> Self {
        match std::env::var("TEST_DATABASE_URL") {
            // Kept for the life of the process, and so left behind: below the target folder it does no harm.
            Err(_) => {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
                Self::Embedded(dir.expect("a folder for the template"))
            }
            Ok(url) => {
                let name = format!("inkstone_{}", uuid::Uuid::now_v7().simple());
                admin(&url, &format!("CREATE DATABASE {name}")).await.expect("the server makes a database");
                Self::Server { url, name }
            }
        }
    }

    pub fn settings(&self) -> Settings {
        match self {
            Self::Embedded(dir) => vec![("data_dir", dir.path().display().to_string())],
            Self::Server { url, name } => vec![("database_url", with_name(url, name))],
        }
    }

    /// Called when the template is filled and nobody is connected to it any more.
    pub async fn finish(self) -> Self {
        self
    }

    pub async fn copy(&self) -> Database {
        Database(Arc::new(match self {
            Self::Embedded(from) => {
                let dir = folder();
                let (from, to) = (from.path().join("postgres"), dir.path().join("postgres"));
                tokio::task::spawn_blocking(move || copy_template(&from, &to))
                    .await
                    .expect("a thread")
                    .expect("the template is copied");
                Held::Embedded(dir)
            }
            Self::Server { url, name: template } => {
                let name = format!("inkstone_{}", uuid::Uuid::now_v7().simple());
                let statement = format!("CREATE DATABASE {name} TEMPLATE {template}");
                // Connections of the one who made the template may take a moment to be gone.
                let mut tries = 0;
                while let Err(error) = admin(url, &statement).await {
                    tries += 1;
                    assert!(tries < 100, "the template cannot be cloned: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                Held::Server { url: url.clone(), name }
            }
        }))
    }
}

impl Database {
    pub fn settings(&self) -> Settings {
        match &*self.0 {
            Held::Embedded(dir) => vec![("data_dir", dir.path().display().to_string())],
            Held::Server { url, name } => {
                let files = std::env::temp_dir().join(format!("inkstone-files-{name}"));
                vec![("database_url", with_name(url, name)), ("data_dir", files.display().to_string())]
            }
        }
    }

    /// The same database for a second server.
    pub fn shared(&self) -> Self {
        Self(self.0.clone())
    }

    /// Where an embedded database lives.
    pub fn dir(&self) -> Option<PathBuf> {
        match &*self.0 {
            Held::Embedded(dir) => Some(dir.path().to_owned()),
            Held::Server { .. } => None,
        }
    }

    /// The URL of a server's database.
    pub fn url(&self) -> Option<String> {
        match &*self.0 {
            Held::Embedded(_) => None,
            Held::Server { url, name } => Some(with_name(url, name)),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self::Server { url, name } = self else { return };
        let (url, statement) = (url.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        // The test's own runtime may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(admin(&url, &statement))
        });
        let _ = dropping.join();
    }
}

/// Runs one statement on the database that `TEST_DATABASE_URL` names.
pub async fn admin(url: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driving = tokio::spawn(connection);
    let done = client.batch_execute(statement).await;
    drop(client);
    let _ = driving.await;
    done
}

/// The URL with another database's name.
fn with_name(url: &str, name: &str) -> String {
    let (rest, query) = url.split_once('?').map_or((url, String::new()), |(rest, query)| (rest, format!("?{query}")));
    let authority = rest.find("://").map_or(0, |at| at + 3);
    let end = rest[authority..].find('/').map_or(rest.len(), |at| authority + at);
    format!("{}/{name}{query}", &rest[..end])
}
