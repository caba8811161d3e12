//! How a connection comes about: over TCP with TLS, or to the embedded backend.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::bb8::{Pool, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, PoolError, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio_postgres::AsyncMessage;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::DbError;
use crate::telemetry::with_causes;

/// Which Postgres.
#[derive(Clone)]
pub enum Backend {
    /// A server, by URL. The URL holds a password: it is never printed.
    Server { url: String },
    /// The one in this process.
    #[cfg(feature = "embedded")]
    Embedded(super::embedded::Connector),
}

impl Backend {
    /// True where all connections share one session, so that LISTEN, session settings and
    /// statement timeouts do not work.
    pub fn is_embedded(&self) -> bool {
        !matches!(self, Self::Server { .. })
    }
}

/// Bounds of the pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    pub max_connections: u32,
    pub acquire_timeout: Duration,
    /// Enforced by Postgres; the embedded one ignores it.
    pub statement_timeout: Duration,
}

/// The pool, and what stands in the way of its connections.
pub(super) async fn pool(
    backend: &Backend,
    settings: &PoolSettings,
) -> Result<(Pool<AsyncPgConnection>, Trouble), DbError> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let (backend, statement_timeout) = (backend.clone(), settings.statement_timeout);
    let trouble = Trouble::default();
    let over = trouble.clone();
    config.custom_setup = Box::new(move |_| {
        let (backend, over) = (backend.clone(), over.clone());
        async move { establish(&backend, statement_timeout).await.inspect(|_| over.set(None)) }.boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    let pool = Pool::builder()
        .max_size(settings.max_connections)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(Some(Duration::from_secs(600)))
        .test_on_check_out(false)
        .error_sink(Box::new(trouble.clone()))
        .build(manager)
        .await?;
    Ok((pool, trouble))
}

async fn establish(backend: &Backend, statement_timeout: Duration) -> ConnectionResult<AsyncPgConnection> {
    match backend {
        Backend::Server { url } => {
            let config = server_config(url)?;
            let (client, connection) = config.connect(tls()).await.map_err(|error| bad(&place(&config), error))?;
            let mut conn = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
            let limit = format!("SET statement_timeout = {}", statement_timeout.as_millis());
            conn.batch_execute(&limit).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
            Ok(conn)
        }
        #[cfg(feature = "embedded")]
        Backend::Embedded(connector) => {
            let stream = connector.connect().await.map_err(|e| ConnectionError::BadConnection(e.to_string()))?;
            let (client, connection) = tokio_postgres::Config::new()
                .user("postgres")
                .dbname("postgres")
                .connect_raw(stream, tokio_postgres::NoTls)
                .await
                .map_err(|error| bad("the embedded database", error))?;
            tokio::spawn(connection);
            AsyncPgConnection::try_from(client).await
        }
    }
}

/// A connection of its own that only listens; every notification on `channel` calls `wake`
/// with what it says.
///
/// Returns when the connection is lost. Server mode only.
pub(super) async fn listen(url: &str, channel: &str, wake: impl Fn(&str)) -> Result<(), DbError> {
    let (client, mut connection) =
        server_config(url)?.connect(tls()).await.map_err(|e| DbError::Unavailable(e.to_string()))?;
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let listening = async move {
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        futures_util::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    let reading = async move {
        use futures_util::StreamExt;
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(message) = message? {
                wake(message.payload());
            }
        }
        Ok(())
    };
    tokio::select! { done = listening => done, done = reading => done }
        .map_err(|e: tokio_postgres::Error| DbError::Unavailable(e.to_string()))
}

fn server_config(url: &str) -> ConnectionResult<tokio_postgres::Config> {
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|e: tokio_postgres::Error| ConnectionError::InvalidConnectionUrl(e.to_string()))?;
    config
        .connect_timeout(Duration::from_secs(3))
        .tcp_user_timeout(Duration::from_secs(15))
        .application_name("inkstone");
    Ok(config)
}

/// How long cancelling a statement may take.
const CANCELLING: Duration = Duration::from_secs(5);

/// Has the server give up the statement that runs on a connection, and waits for its end, so that whoever
/// uses the connection next does not. Server mode only.
pub(super) async fn cancel(conn: &mut AsyncPgConnection) {
    let token = conn.cancel_token();
    let cancelling = async {
        token.cancel_query(tls()).await.map_err(|error| error.to_string())?;
        conn.batch_execute("").await.map_err(|error| error.to_string())
    };
    let error = match tokio::time::timeout(CANCELLING, cancelling).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(error, "a statement that nobody waits for any more could not be cancelled");
}

/// The system's certificate authorities, as they were when they were needed first; a server that is not
/// signed by one of them is refused.
fn tls() -> MakeRustlsConnect {
    static CONFIG: LazyLock<rustls::ClientConfig> = LazyLock::new(tls_config);
    MakeRustlsConnect::new(CONFIG.clone())
}

fn tls_config() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn bad(place: &str, error: tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(format!("{place}: {}", with_causes(&error)))
}

/// Host and port of a server, and nothing secret.
fn place(config: &tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("{host}:{}", config.get_ports().first().unwrap_or(&5432))
}

/// Why the last attempt to connect failed; nothing once one has not.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What to tell who got no connection.
    pub fn explain(&self, error: RunError) -> DbError {
        let last = || self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match error {
            RunError::TimedOut => {
                DbError::Unavailable(last().unwrap_or_else(|| "all connections were taken for too long".to_owned()))
            }
            RunError::User(error) => error.into(),
        }
    }
}

impl bb8::ErrorSink<PoolError> for Trouble {
    fn sink(&self, error: PoolError) {
        tracing::warn!(%error, "could not connect to the database");
        self.set(Some(error.to_string()));
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_is_tells_no_secret() {
        let place = |url: &str| place(&url.parse().expect("a URL"));
        assert_eq!(place("postgres://users:secret@db.example:6543/inkstone?sslmode=require"), "db.example:6543");
        assert_eq!(place("postgres://users:secret@[::1]/inkstone"), "::1:5432");
        assert_eq!(place("host=/run/postgresql user=users"), "/run/postgresql:5432");
    }
}
