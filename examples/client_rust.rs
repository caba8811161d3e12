//! Inkstone from a Rust program: a page of posts over HTTP, then the next comment on the newest of
//! them, over a WebSocket.
//!
//! ```sh
//! cargo run --example client_rust -- http://127.0.0.1:4000
//! ```
//!
//! `INKSTONE_URL` is the address when none is given. Ends with the first comment, or after half a
//! minute without one. For https, `reqwest` and `tokio-tungstenite` need a feature for TLS.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const PATIENCE: Duration = Duration::from_secs(30);

const POSTS: &str = "query Posts($first: Int!) {
    posts(first: $first) { nodes { id title author { name } } }
}";

const COMMENT_ADDED: &str = "subscription CommentAdded($postId: ID!, $after: String) {
    commentAdded(postId: $postId, after: $after) { cursor comment { markdown author { name } } }
}";

#[derive(Deserialize)]
struct Post {
    id: String,
    title: String,
    author: Option<Author>,
}

#[derive(Deserialize)]
struct Author {
    name: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let given = std::env::args().nth(1).or_else(|| std::env::var("INKSTONE_URL").ok());
    let address = given.unwrap_or_else(|| "http://127.0.0.1:4000".to_owned());
    let address = address.trim_end_matches('/');

    let posts = newest_posts(address, 6).await?;
    for post in &posts {
        println!("{}, by {}", post.title, post.author.as_ref().map_or("nobody", |author| author.name.as_str()));
    }

    let Some(newest) = posts.first() else { return Ok(()) };
    println!("Waiting for a comment on {:?} …", newest.title);
    match tokio::time::timeout(PATIENCE, next_comment(address, &newest.id)).await {
        Ok(comment) => println!("{}", comment?),
        Err(_) => println!("Nobody commented within {PATIENCE:?}."),
    }
    Ok(())
}

async fn newest_posts(address: &str, first: u32) -> Result<Vec<Post>> {
    let body = json!({ "query": POSTS, "variables": { "first": first } });
    // Which cryptography https uses is for each program to say; your own may have reqwest's default.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new()
        .post(format!("{address}/graphql"))
        // With this media type the status tells whether the operation ran.
        .header("accept", "application/graphql-response+json")
        .json(&body);
    let mut answer: Value = request.send().await?.json().await?;
    if let Some(errors) = answer.get("errors") {
        bail!("the server refused the query: {errors}");
    }
    Ok(serde_json::from_value(answer["data"]["posts"]["nodes"].take())?)
}

/// The next comment on a post, by the `graphql-transport-ws` protocol.
async fn next_comment(address: &str, post_id: &str) -> Result<String> {
    let mut socket = Socket::connect(address).await?;
    // Each event has a `cursor`: who connects again gives the last one as `after`, and misses nothing.
    let variables = json!({ "postId": post_id, "after": null });
    let payload = json!({ "query": COMMENT_ADDED, "variables": variables });
    socket.send(&json!({ "type": "subscribe", "id": "1", "payload": payload })).await?;
    loop {
        let message = socket.receive().await?;
        match message["type"].as_str() {
            Some("next") => {
                let comment = &message["payload"]["data"]["commentAdded"]["comment"];
                let author = comment["author"]["name"].as_str().unwrap_or("Somebody");
                let markdown = comment["markdown"].as_str().context("an event without a comment")?;
                return Ok(format!("{author} commented: {markdown}"));
            }
            Some("ping") => socket.send(&json!({ "type": "pong" })).await?,
            Some("error") => bail!("the server refused the subscription: {}", message["payload"]),
            Some("complete") => bail!("the server ended the subscription"),
            _ => {}
        }
    }
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a connection and waits until operations may be sent.
    async fn connect(address: &str) -> Result<Self> {
        // `http` becomes `ws`, and `https` becomes `wss`.
        let mut request = format!("{}/graphql", address.replacen("http", "ws", 1)).into_client_request()?;
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (stream, _) = tokio_tungstenite::connect_async(request).await?;
        let mut socket = Self(stream);
        // To be somebody: "payload": { "authorization": "Bearer …" }.
        socket.send(&json!({ "type": "connection_init" })).await?;
        while socket.receive().await?["type"] != "connection_ack" {}
        Ok(socket)
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }

    async fn receive(&mut self) -> Result<Value> {
        while let Some(message) = self.0.next().await {
            match message? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("the server closed the connection: {frame:?}"),
                _ => {}
            }
        }
        bail!("the connection broke")
    }
}
