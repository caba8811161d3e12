//! The listening socket: connections, their bounds and time limits, TLS, and an end in good order.
//!
//! HTTP/1.1 and HTTP/2 on the same port, over TLS by ALPN, without TLS by the client's preface.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::ServiceExt;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::service::SendService;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper::body::Incoming;
use hyper_util::rt::TokioTimer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::bounded::Bounded;
use super::layers::HttpService;

mod bounded;

/// Until a connection of HTTP/2 that says nothing is asked whether it is there, and until it answers.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a client may read nothing of what it is sent.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Connections that the system holds until they are accepted. What comes beyond that waits for a
/// second, and so does who only reads, when many come at once.
const BACKLOG: u32 = 4096;
/// Requests on one connection of HTTP/2 at a time.
const MAX_STREAMS: u32 = 100;
/// The head of a request.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// How often the files of the certificate are looked at.
const RENEWAL: Duration = Duration::from_secs(60);

/// How to serve.
#[derive(Clone, Debug)]
pub struct Serving {
    pub max_connections: usize,
    /// A client that has not sent the head of a request after this time is let go; so is one that
    /// keeps a connection of HTTP/1.1 and asks nothing.
    pub head_timeout: Duration,
    /// How long running requests may take to finish at the end.
    pub grace: Duration,
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its private key, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The files of TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read as PEM: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("the certificate and the key do not go together")]
    Pair(#[source] rustls::Error),
}

/// Files besides the connections: the database, Redis, TLS, logs, the embedded database's own.
#[cfg(unix)]
const OTHER_FILES: u64 = 512;

/// With fewer connections a site that is read by many turns readers away.
#[cfg(unix)]
const FEW_CONNECTIONS: usize = 1_000;

/// Listens on an address.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // A server that starts again does not wait for the connections of the one before; elsewhere
    // this would let two programs have one port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Lets the process have a file open for each connection, as far as the system allows; many allow
/// 1,024 unless asked. How many connections there is room for.
#[cfg(unix)]
fn allow_files(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = OTHER_FILES + connections as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let Some(current) = current.filter(|current| *current < wanted) else { return connections };
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    let open_files = if raised.is_ok() { allowed } else { current };
    let connections = connections.min(connections_within(open_files));
    let advice = "the system allows fewer open files than max_connections needs: raise `ulimit -n`";
    if open_files >= wanted {
        return connections;
    }
    if connections < FEW_CONNECTIONS {
        tracing::warn!(open_files, wanted, connections, "{advice}");
    } else {
        tracing::info!(open_files, wanted, connections, "{advice}");
    }
    connections
}

/// How many connections leave enough files to the rest of the process.
#[cfg(unix)]
fn connections_within(open_files: u64) -> usize {
    usize::try_from(open_files.saturating_sub(OTHER_FILES).max(open_files / 2)).unwrap_or(usize::MAX)
}

/// Serves until `stop`, then lets running requests finish.
///
/// Errors: the files of TLS, at the beginning; the socket.
pub async fn serve(
    listener: TcpListener,
    service: impl HttpService<Incoming>,
    how: Serving,
    stop: CancellationToken,
) -> io::Result<()> {
    #[cfg(unix)]
    let connections = allow_files(how.max_connections);
    #[cfg(not(unix))]
    let connections = how.max_connections;
    let bounded = Bounded { room: Arc::new(Semaphore::new(connections)), patience: WRITE_PATIENCE };
    let server = axum_server::from_tcp(listener.into_std()?)?;
    match &how.tls {
        None => run(server.acceptor(bounded), service, &how, stop).await,
        Some(files) => {
            let config = RustlsConfig::from_config(load(files).map_err(io::Error::other)?);
            let renewal = tokio::spawn(renew(config.clone(), files.clone()));
            let done = run(server.acceptor(RustlsAcceptor::new(config).acceptor(bounded)), service, &how, stop).await;
            renewal.abort();
            done
        }
    }
}

async fn run<A, S>(
    mut server: Server<SocketAddr, A>,
    service: S,
    how: &Serving,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: HttpService<Incoming>,
    // What one connection is served by knows where it comes from.
    A: Accept<TcpStream, AddExtension<S, ConnectInfo<SocketAddr>>> + Clone + Send + Sync + 'static,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send,
    A::Service: SendService<Request<Incoming>> + Send,
    A::Future: Send,
{
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(how.head_timeout).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32);
    let handle = Handle::new();
    let grace = how.grace;
    let ending = {
        let handle = handle.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(grace));
        })
    };
    let done = server
        .handle(handle)
        .first_request_timeout(how.head_timeout)
        .accept_error_handler(|from: Option<&SocketAddr>, error| tracing::debug!(?from, %error, "a connection failed"))
        .serve(service.into_make_service_with_connect_info::<SocketAddr>())
        .await;
    ending.abort();
    done
}

/// Takes a certificate that was renewed without a restart.
async fn renew(config: RustlsConfig, files: TlsFiles) {
    let mut known = changed_at(&files);
    loop {
        tokio::time::sleep(RENEWAL).await;
        let now = changed_at(&files);
        if now == known {
            continue;
        }
        known = now;
        match load(&files) {
            Ok(new) => {
                config.reload_from_config(new);
                tracing::info!("the certificate was renewed");
            }
            Err(error) => tracing::warn!(%error, "the renewed certificate cannot be used; the old one stays"),
        }
    }
}

fn changed_at(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok())
}

/// Reads the files of TLS.
pub fn load(files: &TlsFiles) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let refuse = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(&files.certificate, "there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refuse(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(all(test, unix))]
mod tests {
    use super::connections_within;

    #[test]
    fn connections_leave_files_to_the_database() {
        for (open_files, connections) in [(100_512, 100_000), (20_000, 19_488), (1024, 512), (600, 300), (0, 0)] {
            assert_eq!(connections_within(open_files), connections, "of {open_files} open files");
        }
    }
}
