//! Subscribers by the thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::run::{data, ms, percentile};
use super::{Server, process};

const PATIENCE: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(2);
/// Handshakes under way at once.
const CONNECTING: usize = 100;
/// Of each socket. It is filled with zeros before each read, of which there are two a delivery: with the
/// library's own 128 KiB this program took more of the processors than the server.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What a comment of this run begins with; its number follows.
const MARK: &str = "event-number-";

const ADDED: &str = "subscription Added($post: ID!) {
    commentAdded(postId: $post) { cursor comment { id markdown author { id name } } }
}";
const ADD: &str = "mutation Add($post: ID!, $markdown: String!) {
    addComment(input: { postId: $post, markdown: $markdown }) { comment { id status } userErrors { message } }
}";

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    server: Server,
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    #[arg(long, default_value_t = 20)]
    events_per_second: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

/// What has been delivered of one event.
#[derive(Default)]
struct Event {
    /// Since the run began, in microseconds: when the writer was told of the commit.
    committed: AtomicU64,
    delivered: AtomicUsize,
    /// The same, of the last delivery.
    last: AtomicU64,
}

/// Opens the subscriptions, comments at a steady rate, and prints how long the last of each event's
/// deliveries took.
pub async fn subscribe(options: Options) -> Result<()> {
    let base = options.server.url.trim_end_matches('/').to_owned();
    let key = options.server.key.clone().context("comments need --key, an API key with the scope comment")?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let posts = data(&client, &base, None, "{ posts(first: 1) { nodes { id } } }", json!({})).await?;
    let post = posts["posts"]["nodes"][0]["id"].as_str().context("there are no posts: `seed` first")?.to_owned();
    let count = options.events_per_second * options.seconds;
    let events: Arc<Vec<Event>> = Arc::new((0..count).map(|_| Event::default()).collect());
    let begun = Instant::now();
    let since = move || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    connect_all(&options, &base, &post, &events, since).await?;
    println!("{} subscribers are there", options.subscribers);
    // Each was answered behind its subscription, which may still be on its way to the log.
    tokio::time::sleep(SETTLE).await;

    let statements = sql_statements(&client, &base).await?;
    let before = process::processor_seconds(&options.server)?;
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(options.events_per_second.max(1))?);
    for (number, event) in events.iter().enumerate() {
        pace.tick().await;
        let variables = json!({ "post": post, "markdown": format!("{MARK}{number}.") });
        let added = data(&client, &base, Some(&key), ADD, variables).await?;
        event.committed.store(since(), Ordering::Relaxed);
        let status = &added["addComment"]["comment"]["status"];
        ensure!(status == "APPROVED", "the comment is {status}: serve with INKSTONE_COMMENT_MODERATION=none ({added})");
    }
    let arrived = || events.iter().map(|event| event.delivered.load(Ordering::Relaxed)).sum::<usize>();
    let deadline = Instant::now() + PATIENCE;
    let wanted = options.subscribers * events.len();
    while arrived() < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut took: Vec<_> = events.iter().map(last_delivery).collect();
    took.sort_unstable();
    println!(
        "commit to last delivery of {} events: p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
        events.len(),
        ms(percentile(&took, 50)),
        ms(percentile(&took, 99)),
        ms(percentile(&took, 100))
    );
    println!("{} of {wanted} deliveries arrived", arrived());
    let more = sql_statements(&client, &base).await? - statements;
    println!("{:.1} SQL statements an event, those of the writing included", more / events.len() as f64);
    if let Some((before, after)) = before.zip(process::processor_seconds(&options.server)?) {
        println!("{:.1} µs of the server's processor a delivery", (after.0 - before.0) * 1e6 / wanted as f64);
    }
    if let Some(mb) = options.server.pid.and_then(process::resident_mb) {
        println!("resident memory of the server: {mb:.0} MB");
    }
    ensure!(arrived() == wanted, "{} deliveries are missing", wanted - arrived());
    Ok(())
}

/// From the commit, as its writer heard of it; a subscriber may be told before that.
fn last_delivery(event: &Event) -> Duration {
    let last = event.last.load(Ordering::Relaxed);
    Duration::from_micros(last.saturating_sub(event.committed.load(Ordering::Relaxed)))
}

async fn connect_all(
    options: &Options,
    base: &str,
    post: &str,
    events: &Arc<Vec<Event>>,
    since: impl Fn() -> u64 + Copy + Send + 'static,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTING));
    let (ready, mut is_ready) = tokio::sync::mpsc::channel(options.subscribers.max(1));
    for _ in 0..options.subscribers {
        let place = places.clone().acquire_owned().await?;
        let (base, post, events, ready) = (base.to_owned(), post.to_owned(), events.clone(), ready.clone());
        tokio::spawn(async move {
            let socket = timeout(PATIENCE, connect(&base, &post)).await;
            drop(place);
            match socket.context("no subscription within 30 s").and_then(|socket| socket) {
                Ok(socket) => {
                    let _ = ready.send(Ok(())).await;
                    listen(socket, &events, since).await;
                }
                Err(error) => drop(ready.send(Err(error)).await),
            }
        });
    }
    for _ in 0..options.subscribers {
        is_ready.recv().await.context("the subscribers ended")??;
    }
    Ok(())
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(base: &str, post: &str) -> Result<Socket> {
    let address = format!("{}/graphql", base.replacen("http", "ws", 1));
    let mut request = address.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let connected = tokio_tungstenite::connect_async_with_config(request, Some(config), false).await;
    let (mut socket, _) = connected.context("no WebSocket")?;
    let say = |value: serde_json::Value| Message::text(value.to_string());
    socket.send(say(json!({ "type": "connection_init" }))).await?;
    expect(&mut socket, "connection_ack").await?;
    let payload = json!({ "query": ADDED, "variables": { "post": post } });
    socket.send(say(json!({ "type": "subscribe", "id": "1", "payload": payload }))).await?;
    // It is there once what was sent behind it has been answered.
    let asked = json!({ "query": "{ __typename }" });
    socket.send(say(json!({ "type": "subscribe", "id": "2", "payload": asked }))).await?;
    expect(&mut socket, "\"complete\"").await?;
    Ok(socket)
}

async fn expect(socket: &mut Socket, word: &str) -> Result<()> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) if text.contains(word) => return Ok(()),
            Message::Close(frame) => anyhow::bail!("the server closed the socket: {frame:?}"),
            Message::Text(text) if text.contains("\"error\"") => anyhow::bail!("the server refused: {text}"),
            _ => {}
        }
    }
    anyhow::bail!("the server closed the socket")
}

async fn listen(mut socket: Socket, events: &[Event], since: impl Fn() -> u64) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let Some((_, rest)) = text.split_once(MARK) else { continue };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some(event) = rest[..digits].parse::<usize>().ok().and_then(|number| events.get(number)) else { continue };
        event.last.fetch_max(since(), Ordering::Relaxed);
        event.delivered.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many statements the server has sent, by its own count.
async fn sql_statements(client: &reqwest::Client, base: &str) -> Result<f64> {
    let metrics = client.get(format!("{base}/metrics")).send().await?.text().await?;
    let counts = metrics.lines().filter(|line| line.starts_with("inkstone_sql_statements_total"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
