//! WebSocket upgrades by hand: with any header, and with the answer to look at.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::TestApp;
use crate::support::live::PATIENCE;

/// What the server said to an upgrade.
pub struct Answer {
    pub status: u16,
    pub head: String,
    stream: TcpStream,
}

impl Answer {
    /// Goes on in WebSocket frames.
    pub async fn socket(self) -> WebSocketStream<TcpStream> {
        WebSocketStream::from_raw_socket(self.stream, Role::Client, None).await
    }
}

/// Connects to the server, without a word.
pub async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.base.trim_start_matches("http://")).await.expect("the server listens")
}

/// Asks for an upgrade with further header lines.
pub async fn upgrade(app: &TestApp, headers: &[(&str, &str)]) -> Answer {
    let mut stream = connect(app).await;
    let host = app.base.trim_start_matches("http://");
    let mut request = format!(
        "GET /graphql HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server takes the request");
    let head = head(&mut stream).await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_else(|| panic!("a status: {head}")), head, stream }
}

/// The status line and the headers of an answer, and not a byte more.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer should have come by now");
        head.push(byte.unwrap_or_else(|error| panic!("{error} behind {:?}", String::from_utf8_lossy(&head))));
    }
    String::from_utf8(head).expect("a head of text")
}
