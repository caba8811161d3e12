//! How the client is set up: the URL, TLS, time limits and the reconnection policy.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Builder;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, TcpConfig, TlsConnector, UnresponsiveConfig,
};

use super::redis::RemoteError;

/// The longest one attempt to connect, shake hands or authenticate may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that owes an answer for longer than this is closed and made anew.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(5);
/// The bound for commands that do not set a shorter one (publishing).
const DEFAULT_COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT_MIN_MS: u32 = 100;
const RECONNECT_MAX_MS: u32 = 5_000;
const RECONNECT_JITTER_MS: u32 = 250;
/// Commands that may wait inside the client; more are refused at once.
const MAX_QUEUED_COMMANDS: usize = 4_096;

/// Host and port, without credentials.
pub(super) fn server_name(config: &Config) -> String {
    let hosts = config.server.hosts();
    hosts.first().map(ToString::to_string).unwrap_or_default()
}

/// A client's settings for this URL.
pub(super) fn builder(url: &str) -> Result<Builder, RemoteError> {
    let mut builder = Builder::from_config(config(url)?);
    builder.set_policy(ReconnectPolicy::Exponential {
        attempts: 0,
        max_attempts: 0,
        min_delay: RECONNECT_MIN_MS,
        max_delay: RECONNECT_MAX_MS,
        base: 2,
        jitter: RECONNECT_JITTER_MS,
    });
    builder.set_performance_config(PerformanceConfig {
        default_command_timeout: DEFAULT_COMMAND_TIMEOUT,
        broadcast_channel_capacity: 256,
        ..PerformanceConfig::default()
    });
    builder.set_connection_config(ConnectionConfig {
        connection_timeout: CONNECT_TIMEOUT,
        internal_command_timeout: CONNECT_TIMEOUT,
        // A command whose connection broke is not sent again: its caller has gone on.
        max_command_attempts: 1,
        max_command_buffer_len: MAX_QUEUED_COMMANDS,
        reconnect_on_auth_error: true,
        unresponsive: UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE_AFTER), interval: Duration::from_secs(1) },
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    });
    Ok(builder)
}

/// Reads the URL. TLS is set up here, with ring named outright, because fred would take the
/// process's default provider and panics when there are two.
fn config(url: &str) -> Result<Config, RemoteError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (plain, secure) = match scheme {
        "redis" | "valkey" => (scheme, false),
        "rediss" => ("redis", true),
        "valkeys" => ("valkey", true),
        _ if scheme.ends_with("-cluster") || scheme.ends_with("-sentinel") => {
            return Err(RemoteError::Topology);
        }
        _ => return Err(RemoteError::Scheme),
    };
    let mut config = Config::from_url(&format!("{plain}://{rest}")).map_err(RemoteError::Url)?;
    if config.server.is_clustered() || config.server.is_sentinel() {
        return Err(RemoteError::Topology);
    }
    config.fail_fast = true;
    if secure {
        config.tls = Some(tls()?.into());
    }
    Ok(config)
}

fn tls() -> Result<TlsConnector, RemoteError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(RemoteError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_tls_follows_the_scheme() {
        let plain = config("redis://user:secret@cache.example:6380/2").expect("a valid URL");
        assert!(plain.tls.is_none());
        assert_eq!(plain.database, Some(2));
        assert_eq!(server_name(&plain), "cache.example:6380");
        let secure = config("rediss://:secret@cache.example").expect("a valid URL");
        assert!(secure.tls.is_some());
        assert_eq!(secure.password.as_deref(), Some("secret"));
    }

    #[test]
    fn bad_urls_are_refused_without_repeating_the_password() {
        for url in ["", "cache.example", "http://:secret@cache.example", "redis://:secret@:x"] {
            let error = config(url).expect_err("not a Redis URL");
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "the password is in: {text}");
        }
        let cluster = config("redis-cluster://cache.example:7000");
        assert!(matches!(cluster, Err(RemoteError::Topology)));
    }
}
