//! One file over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Response, StatusCode};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

use super::{FetchError, Progress, disk, part_of, settle};

/// A host that does not answer is out of reach; the next source may not be.
const CONNECT: Duration = Duration::from_secs(4);
/// The longest pause in a download.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a download that breaks off goes on.
const ATTEMPTS: u32 = 5;
/// A file of unknown length ends here.
const MAX_BYTES: u64 = 64 << 30;
/// An index or a list.
const MAX_PAGE_BYTES: usize = 32 << 20;

/// What a file should be.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
}

/// The HTTP client. It uses the proxies of the environment and the certificates of the system.
#[derive(Clone)]
pub struct Client(reqwest::Client);

impl Client {
    pub fn new() -> Result<Self, FetchError> {
        let client = Self::builder()?.read_timeout(SILENCE).build();
        Ok(Self(client.map_err(|error| unusable(error.to_string()))?))
    }

    /// A client that is not finished yet.
    pub fn builder() -> Result<reqwest::ClientBuilder, FetchError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("inkstone/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT))
    }

    /// A page of text.
    pub(super) async fn text(&self, url: &str, accept: &'static str) -> Result<(HeaderMap, String), FetchError> {
        let request = self.0.get(url).header("accept", accept).timeout(SILENCE);
        let mut response = succeeded(url, request.send().await)?;
        let headers = response.headers().clone();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(url, &error))? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_PAGE_BYTES {
                return Err(FetchError::TooLarge { what: url.to_owned(), limit: MAX_PAGE_BYTES as u64 });
            }
        }
        Ok((headers, String::from_utf8_lossy(&text).into_owned()))
    }

    /// The headers of an answer, without following where it leads.
    pub(super) async fn head(&self, url: &str, token: Option<&str>) -> Result<HeaderMap, FetchError> {
        let mut request = self.0.head(url).timeout(SILENCE);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        Ok(succeeded(url, request.send().await)?.headers().clone())
    }

    /// Brings `url` to `path`, going on with the part that is there.
    pub(super) async fn download(
        &self,
        url: &str,
        token: Option<&str>,
        wanted: Wanted,
        path: &Path,
        progress: Progress,
    ) -> Result<(), FetchError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let had = length(&part_of(path));
            let error = match self.attempt(url, token, &wanted, path, &progress).await {
                Ok(()) => match settle(&part_of(path), &wanted, path, url).await {
                    // The part may have been of another version of the file: once more from the start.
                    Err(FetchError::WrongHash { .. }) if had > 0 && attempt == 1 => continue,
                    settled => return settled,
                },
                Err(error) => error,
            };
            let went_on = length(&part_of(path)) > had;
            let broke_off = matches!(error, FetchError::Unreachable { .. }) && (went_on || had > 0);
            if attempt >= ATTEMPTS || !broke_off {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "a download goes on");
            tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
        }
    }

    async fn attempt(
        &self,
        url: &str,
        token: Option<&str>,
        wanted: &Wanted,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), FetchError> {
        let part = part_of(path);
        let had = length(&part);
        let mut request = self.0.get(url);
        if had > 0 {
            request = request.header(RANGE, format!("bytes={had}-"));
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.send().await;
        if let Ok(response) = &response
            && response.status() == StatusCode::RANGE_NOT_SATISFIABLE
        {
            // All of it is there, or it is longer than the file: the hash will tell.
            let whole = wanted.bytes.is_none_or(|bytes| bytes == had);
            if !whole {
                tokio::fs::remove_file(&part).await.map_err(|source| disk(&part, source))?;
            }
            return if whole { Ok(()) } else { Err(unreachable(url, &"the part here is too long")) };
        }
        let response = succeeded(url, response)?;
        let begins =
            if response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response, had) { had } else { 0 };
        let whole = response.content_length().map(|rest| begins + rest);
        let limit = wanted.bytes.unwrap_or(MAX_BYTES);
        let mut file = OpenOptions::new().create(true).append(true).open(&part).await.map_err(|e| disk(&part, e))?;
        file.set_len(begins).await.map_err(|source| disk(&part, source))?;
        let mut bytes = begins;
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| lost(url, &error))?;
            bytes += chunk.len() as u64;
            if bytes > limit {
                drop(file);
                let _ = tokio::fs::remove_file(&part).await;
                return Err(FetchError::TooLarge { what: url.to_owned(), limit });
            }
            file.write_all(&chunk).await.map_err(|source| disk(&part, source))?;
            progress(bytes, wanted.bytes.or(whole).unwrap_or(0));
        }
        file.flush().await.map_err(|source| disk(&part, source))?;
        file.sync_all().await.map_err(|source| disk(&part, source))?;
        match wanted.bytes.or(whole) {
            Some(expected) if bytes < expected => {
                Err(unreachable(url, &format!("it broke off after {bytes} of {expected} bytes")))
            }
            _ => Ok(()),
        }
    }
}

fn unusable(reason: String) -> FetchError {
    FetchError::Unusable { what: "the system's TLS configuration".to_owned(), reason }
}

/// Whether a part of a file is the one that was asked for.
fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

fn succeeded(url: &str, response: Result<Response, reqwest::Error>) -> Result<Response, FetchError> {
    let response = response.map_err(|error| lost(url, &error))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(FetchError::Refused { url: url.to_owned(), status: status.as_u16() }),
    }
}

fn unreachable(url: &str, reason: &dyn std::fmt::Display) -> FetchError {
    FetchError::Unreachable { url: url.to_owned(), reason: reason.to_string() }
}

/// What lies under an error of the client, which itself says little more than the address.
fn lost(url: &str, error: &reqwest::Error) -> FetchError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    unreachable(url, &cause)
}
