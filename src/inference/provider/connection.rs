//! Asking a provider over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ProviderSettings;
use super::breaker::Breaker;
use crate::inference::fetch::{Client, FetchError};

/// Most requests at the same time; more are refused at once.
const REQUESTS: usize = 64;
/// How often a request that failed is sent again.
const RETRIES: u32 = 2;
/// Before the first of them, at most; it doubles each time.
const PAUSE: Duration = Duration::from_millis(400);
/// Who is told to wait longer is told so, instead of waiting here.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Largest answer that is no stream.
const MAX_BYTES: usize = 64 << 20;
/// As much of an error is read, and as much of its message told.
const MAX_ERROR_BYTES: usize = 16 << 10;
const MAX_MESSAGE_CHARS: usize = 300;

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Because of what was asked, in the provider's words.
    Refused(String),
    /// Because of the provider, or the way there. In words for clients, without its own.
    Away { reason: String, retry_after: Option<Duration> },
}

impl Fault {
    fn away(reason: impl Into<String>) -> Self {
        Self::Away { reason: reason.into(), retry_after: None }
    }
}

/// An answer, and a place among the requests that it holds until it is read.
pub struct Answer {
    pub response: Response,
    pub timeout: Duration,
    _place: OwnedSemaphorePermit,
}

/// The way to a provider.
pub struct Connection {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    breaker: Breaker,
    places: Arc<Semaphore>,
}

impl Connection {
    pub fn new(settings: &ProviderSettings) -> Result<Self, FetchError> {
        let unusable =
            |reason: &str| FetchError::Unusable { what: "the provider".to_owned(), reason: reason.to_owned() };
        let url = settings.url.trim_end_matches('/').to_owned();
        reqwest::Url::parse(&url).map_err(|_| unusable("provider_url is no URL"))?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.key {
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| unusable("provider_key holds what cannot stand in a header"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Wherever else it leads, the key does not go there.
        let client = Client::builder()?.redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| unusable(&error.without_url().to_string()))?;
        let (timeout, places) = (settings.timeout, Arc::new(Semaphore::new(REQUESTS)));
        Ok(Self { client, url, headers, timeout, breaker: Breaker::default(), places })
    }

    /// What is answered to `body`, all of it.
    pub async fn json<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Fault> {
        let mut answer = self.post(path, body).await?;
        let reading = read(&mut answer.response, MAX_BYTES);
        let bytes = tokio::time::timeout(self.timeout, reading).await;
        let bytes = bytes.unwrap_or_else(|_| Err(self.too_slow()))?;
        serde_json::from_slice(&bytes).map_err(|_| Fault::away("its answer has not the form of OpenAI's API"))
    }

    /// The beginning of what is answered to `body`. What may pass is tried again.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Fault> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Fault::Away {
            reason: "too many requests wait for it".to_owned(),
            retry_after: Some(Duration::from_secs(1)),
        })?;
        let mut tried = 0;
        loop {
            self.breaker.enter(Instant::now()).map_err(|wait| Fault::Away {
                reason: "it failed several times and is left alone for a while".to_owned(),
                retry_after: Some(wait),
            })?;
            match self.once(path, body).await {
                Ok(response) => {
                    self.breaker.succeeded();
                    return Ok(Answer { response, timeout: self.timeout, _place: place });
                }
                Err((fault @ Fault::Refused(_), _)) => {
                    self.breaker.succeeded();
                    return Err(fault);
                }
                Err((fault, again)) => {
                    self.breaker.failed(Instant::now());
                    let asked_for = match &fault {
                        Fault::Away { retry_after, .. } => retry_after.unwrap_or_default(),
                        Fault::Refused(_) => Duration::ZERO,
                    };
                    if !again || tried == RETRIES || asked_for > LONGEST_PAUSE {
                        return Err(fault);
                    }
                    let pause = PAUSE * 2u32.pow(tried);
                    tokio::time::sleep(asked_for + pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    tried += 1;
                }
            }
        }
    }

    /// With every fault whether it may pass by itself.
    async fn once(&self, path: &str, body: &Value) -> Result<Response, (Fault, bool)> {
        let request = self.client.post(format!("{}{path}", self.url)).headers(self.headers.clone()).json(body);
        let sent = tokio::time::timeout(self.timeout, request.send()).await;
        // What took so long would take as long again.
        let sent = sent.map_err(|_| (self.too_slow(), false))?;
        let mut response = sent.map_err(|error| match error.is_timeout() {
            true => (self.too_slow(), false),
            false => (Fault::away(why(&error)), true),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let again = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
        let retry_after = retry_after(response.headers());
        let fault = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Fault::away(format!("it does not take the key ({}): see provider_key", status.as_u16()))
            }
            StatusCode::NOT_FOUND => Fault::away("it has no such address or model (404): see provider_url"),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Fault::Refused(self.message(&mut response).await)
            }
            _ => Fault::Away { reason: format!("it answered with status {}", status.as_u16()), retry_after },
        };
        Err((fault, again))
    }

    /// What a refusal says.
    async fn message(&self, response: &mut Response) -> String {
        let reading = tokio::time::timeout(self.timeout, read(response, MAX_ERROR_BYTES)).await;
        let said = reading.ok().and_then(Result::ok).and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
        match said {
            Some(told) => told.error.message.chars().take(MAX_MESSAGE_CHARS).collect(),
            None => format!("status {}", response.status().as_u16()),
        }
    }

    fn too_slow(&self) -> Fault {
        Fault::away(format!("it took longer than {} s (provider_timeout_ms)", self.timeout.as_secs_f32()))
    }
}

/// An error as OpenAI's API tells it.
#[derive(Deserialize)]
struct Told {
    error: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

async fn read(response: &mut Response, most: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Fault::away(why(&error)))? {
        if bytes.len() + chunk.len() > most {
            return Err(Fault::away(format!("its answer is longer than {} MB", most >> 20)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Without the address, which is the owner's.
pub fn why(error: &reqwest::Error) -> &'static str {
    if error.is_connect() { "it cannot be reached" } else { "the connection broke off" }
}

/// In seconds; dates are rare, and are taken for nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}
