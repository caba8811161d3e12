//! How a connection comes about: over TCP with TLS, or to the embedded backend.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::bb8::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio_postgres::AsyncMessage;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::DbError;

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

pub(super) async fn pool(backend: &Backend, settings: &PoolSettings) -> Result<Pool<AsyncPgConnection>, DbError> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let (backend, statement_timeout) = (backend.clone(), settings.statement_timeout);
    config.custom_setup = Box::new(move |_| {
        let backend = backend.clone();
        async move { establish(&backend, statement_timeout).await }.boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    Pool::builder()
        .max_size(settings.max_connections)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(Some(Duration::from_secs(600)))
        .test_on_check_out(false)
        .error_sink(Box::new(LogSink))
        .build(manager)
        .await
        .map_err(DbError::from)
}

async fn establish(backend: &Backend, statement_timeout: Duration) -> ConnectionResult<AsyncPgConnection> {
    match backend {
        Backend::Server { url } => {
            let (client, connection) = server_config(url)?.connect(tls()).await.map_err(bad)?;
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
                .map_err(bad)?;
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

fn bad(error: tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(error.to_string())
}

/// Failed attempts to connect are logged; the caller sees only that its time ran out.
#[derive(Debug, Clone, Copy)]
struct LogSink;

impl bb8::ErrorSink<diesel_async::pooled_connection::PoolError> for LogSink {
    fn sink(&self, error: diesel_async::pooled_connection::PoolError) {
        tracing::warn!(%error, "could not connect to the database");
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<diesel_async::pooled_connection::PoolError>> {
        Box::new(*self)
    }
}
