//! Requests from many connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::{Server, process};

const PATIENCE: Duration = Duration::from_secs(20);
const POSTS: u64 = 10_000;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    server: Server,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long each request is measured, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long it is sent before, in seconds
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Only these, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// One kind of request.
#[derive(Clone)]
struct Request {
    name: &'static str,
    what: What,
}

#[derive(Clone)]
enum What {
    /// An address that is read as it is.
    Get(String),
    /// A document, and how its variables come from a number that counts up.
    Post { document: &'static str, variables: fn(&Seen, u64) -> Value, with_key: bool },
}

/// What was found in the server before anything is measured.
struct Seen {
    /// Ids of posts with comments.
    posts: Vec<String>,
    /// Where pages of the longest list of comments begin.
    pages: Vec<(String, Option<String>)>,
}

const POST: &str = "query Post($slug: String!) {
    post(slug: $slug) { id slug title html publishedAt author { id handle name } tags { id slug name } }
}";
const LIST: &str = "query List {
    posts(first: 20) { nodes { id slug title excerpt publishedAt author { id handle name avatar } tags { id slug name }
        comments(first: 3) { nodes { id html createdAt author { id handle name avatar } } } } }
}";
const AUTHORS: &str = "query Authors {
    posts(first: 20) { nodes { id title author { id handle name
        posts(first: 5) { nodes { id slug title publishedAt tags { id slug name } } } } } }
}";
const COMMENTS: &str = "query Comments($id: ID!, $after: String) {
    node(id: $id) { ... on Post { comments(first: 50, after: $after) {
        pageInfo { hasNextPage endCursor } nodes { id html createdAt author { id handle name avatar } } } } }
}";
const ADD: &str = "mutation Add($post: ID!, $markdown: String!) {
    addComment(input: { postId: $post, markdown: $markdown }) { comment { id html author { id name } } userErrors { message } }
}";

const SEARCH: &str = "query Search($query: String!, $mode: SearchMode!) {
    search(query: $query, mode: $mode, first: 20) { degraded nodes { post { id slug title } snippet { text ranges { start end } } score } }
}";
const RELATED: &str = "query Related {
    posts(first: 20) { nodes { id related(first: 4) { post { id slug title } score } } }
}";

const QUESTIONS: [&str; 8] = [
    "how do I grind ink",
    "why is the cache slow",
    "砚台怎么洗",
    "a table of contents for a long post",
    "搜索为什么找不到两个字的词",
    "what the clocks have to do with sorting",
    "写一个小工具",
    "walking along the river in winter",
];

/// A question that somebody might ask of the demo site, and two of the words that pieces are made of, a common and
/// a rare one. Seldom the same twice, so that the model reads each.
fn words(n: u64) -> String {
    let question = QUESTIONS[(n % 8) as usize];
    format!("{question} w{} w{} ", 20 + n * 31 % 200, 3000 + n * 104_729 % 15_000)
}

const KEPT: &str = "{ posts(first: 10) { nodes { slug title } } }";

/// What names a document by its hash.
fn persisted(document: &str) -> Value {
    let hash: String = Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// The address of a persisted query.
fn kept(base: &str) -> String {
    let extensions = persisted(KEPT).to_string();
    format!("{base}/graphql?extensions={}", extensions.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"))
}

fn requests(base: &str) -> Vec<Request> {
    let none: fn(&Seen, u64) -> Value = |_, _| json!({});
    let post = |name, document, variables| Request { name, what: What::Post { document, variables, with_key: false } };
    vec![
        post("post", POST, |_, n| json!({ "slug": format!("load-post-{}", 1 + n * 7919 % POSTS) })),
        post("list", LIST, none),
        post("authors", AUTHORS, none),
        post("comments", COMMENTS, |seen, n| {
            let (id, after) = &seen.pages[n as usize % seen.pages.len()];
            json!({ "id": id, "after": after })
        }),
        post("search words", SEARCH, |_, n| json!({ "query": words(n), "mode": "WORDS" })),
        post("search meaning", SEARCH, |_, n| json!({ "query": words(n), "mode": "MEANING" })),
        post("search hybrid", SEARCH, |_, n| json!({ "query": words(n), "mode": "HYBRID" })),
        post("related", RELATED, none),
        post("typename", "{ __typename }", none),
        Request { name: "kept GET", what: What::Get(kept(base)) },
        Request { name: "/healthz", what: What::Get(format!("{base}/healthz")) },
        Request {
            name: "add",
            what: What::Post {
                document: ADD,
                variables: |seen, n| json!({ "post": seen.posts[n as usize % seen.posts.len()], "markdown": format!("Comment *{n}* under load.") }),
                with_key: true,
            },
        },
    ]
}

/// Sends each kind of request for a while, and prints what came of it.
pub async fn run(options: Options) -> Result<()> {
    let options = Arc::new(options);
    let base = options.server.url.trim_end_matches('/').to_owned();
    let client = Client::builder().timeout(PATIENCE).http1_only().build()?;
    let all = requests(&base);
    if let Some(unknown) = options.only.iter().find(|only| all.iter().all(|request| request.name != *only)) {
        let names: Vec<_> = all.iter().map(|request| request.name).collect();
        bail!("there is no request named {unknown:?}: expected some of {names:?}");
    }
    let seen = Arc::new(look(&client, &base).await?);
    println!("{:<14} {:>9} {:>8} {:>8} {:>18}", "", "requests/s", "p50 ms", "p99 ms", "CPU s / 1,000");
    for request in all {
        let wanted = options.only.is_empty() || options.only.iter().any(|only| only == request.name);
        let possible = options.server.key.is_some() || !matches!(request.what, What::Post { with_key: true, .. });
        if wanted && possible {
            measure(&options, &client, &base, &seen, request).await?;
        } else if wanted {
            println!("{:<14} left out: it needs --key", request.name);
        }
    }
    if let Some(mb) = options.server.pid.and_then(process::resident_mb) {
        println!("resident memory of the server: {mb:.0} MB");
    }
    Ok(())
}

async fn measure(
    options: &Arc<Options>,
    client: &Client,
    base: &str,
    seen: &Arc<Seen>,
    request: Request,
) -> Result<()> {
    let begin = Instant::now() + Duration::from_secs(options.warm_up);
    let end = begin + Duration::from_secs(options.seconds);
    let counter = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..options.connections {
        let (options, client, base, seen) = (options.clone(), client.clone(), base.to_owned(), seen.clone());
        let (request, counter) = (request.clone(), counter.clone());
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return anyhow::Ok(took);
                }
                let number = counter.fetch_add(1, Ordering::Relaxed);
                ask(&client, &base, options.server.key.as_deref(), &seen, &request, number).await?;
                if sent >= begin {
                    took.push(sent.elapsed());
                }
            }
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = process::processor_seconds(&options.server)?;
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.extend(done??);
    }
    let after = process::processor_seconds(&options.server)?;
    took.sort_unstable();
    ensure!(!took.is_empty(), "{}: nothing was answered within {} s", request.name, options.seconds);
    let each = before.zip(after).map(|(before, after)| {
        let per_thousand = |seconds: f64| seconds * 1000.0 / took.len() as f64;
        format!("{:.3} + {:.3} pg", per_thousand(after.0 - before.0), per_thousand(after.1 - before.1))
    });
    println!(
        "{:<14} {:>9.0} {:>8.2} {:>8.2} {:>18}",
        request.name,
        took.len() as f64 / options.seconds as f64,
        ms(percentile(&took, 50)),
        ms(percentile(&took, 99)),
        each.unwrap_or_else(|| "-".into())
    );
    Ok(())
}

/// Of durations in order.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

async fn ask(
    client: &Client,
    base: &str,
    key: Option<&str>,
    seen: &Seen,
    request: &Request,
    number: u64,
) -> Result<()> {
    let response = match &request.what {
        What::Get(address) => client.get(address).send().await,
        What::Post { document, variables, with_key } => {
            let body = json!({ "query": document, "variables": variables(seen, number) });
            let asked = client.post(format!("{base}/graphql")).json(&body);
            match key.filter(|_| *with_key) {
                Some(key) => asked.bearer_auth(key).send().await,
                // Made anew, and not the answer that is kept for everybody.
                None => asked.header("cache-control", "no-cache").send().await,
            }
        }
    };
    let response = response.with_context(|| format!("{}: no answer", request.name))?;
    let status = response.status();
    let body = response.text().await?;
    let failed = body.contains("\"errors\":") || body.contains("\"userErrors\":[{");
    ensure!(
        status.is_success() && !failed,
        "{} was answered with {status}: {}",
        request.name,
        &body[..body.len().min(400)]
    );
    Ok(())
}

/// One answer's `data`.
pub async fn data(client: &Client, base: &str, key: Option<&str>, document: &str, variables: Value) -> Result<Value> {
    let asked = client.post(format!("{base}/graphql")).json(&json!({ "query": document, "variables": variables }));
    let asked = match key {
        Some(key) => asked.bearer_auth(key),
        None => asked,
    };
    let mut answer: Value = asked.send().await.context("no answer: is the server there?")?.json().await?;
    ensure!(answer.get("errors").is_none(), "the server refused: {}", answer["errors"]);
    Ok(answer["data"].take())
}

async fn look(client: &Client, base: &str) -> Result<Seen> {
    let known = json!({ "query": KEPT, "extensions": persisted(KEPT) });
    let made_known = client.post(format!("{base}/graphql")).json(&known).send().await.context("no answer")?;
    ensure!(made_known.status().is_success(), "a query could not be persisted: {}", made_known.text().await?);
    let posts = data(client, base, None, "{ posts(first: 100) { nodes { id } } }", json!({})).await?;
    let posts: Vec<String> = serde_json::from_value::<Vec<Value>>(posts["posts"]["nodes"].clone())?
        .iter()
        .filter_map(|post| post["id"].as_str().map(str::to_owned))
        .collect();
    ensure!(!posts.is_empty(), "there are no posts: fill the database with `seed` first");
    let mut pages = Vec::new();
    for id in posts.iter().take(10) {
        let mut after = None;
        loop {
            pages.push((id.clone(), after.clone()));
            let page = data(client, base, None, COMMENTS, json!({ "id": id, "after": after })).await?;
            let info = &page["node"]["comments"]["pageInfo"];
            if info["hasNextPage"] != true || pages.len() > 100 {
                break;
            }
            after = info["endCursor"].as_str().map(str::to_owned);
        }
    }
    Ok(Seen { posts, pages })
}
