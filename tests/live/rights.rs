//! Who may listen: whose page opened the connection, and what became of the rights since.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, data};
use crate::writing::{COMMENT_ADDED, post_id};

/// The status of an upgrade with these headers; 101 if it was accepted.
async fn upgrade(app: &TestApp, headers: &[(&'static str, HeaderValue)]) -> u16 {
    let address = format!("{}/graphql", app.base.replace("http://", "ws://"));
    let mut request = address.into_client_request().expect("an address");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.clone());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("the server should answer: {error}"),
    }
}

#[tokio::test]
async fn a_cookie_opens_a_socket_only_for_pages_of_the_site() {
    let app = TestApp::start_with(&[("public_url", "https://blog.example")]).await;
    let cookie = HeaderValue::from_str(&format!("inkstone_session={}", app.tokens.reader)).expect("a header");
    let with_origin = |origin: HeaderValue| vec![("cookie", cookie.clone()), ("origin", origin)];
    let own = HeaderValue::from_str(&app.base).expect("a header");
    for origin in [own, HeaderValue::from_static("https://blog.example")] {
        assert_eq!(upgrade(&app, &with_origin(origin.clone())).await, 101, "from {origin:?}");
    }
    let others = [
        HeaderValue::from_static("https://evil.example"),
        HeaderValue::from_static("http://blog.example"),
        HeaderValue::from_static("https://blog.example.evil.example"),
        HeaderValue::from_static("null"),
        HeaderValue::from_static(""),
        HeaderValue::from_bytes(b"https://bl\xf6g.example").expect("a header of bytes"),
    ];
    for origin in others {
        assert_eq!(upgrade(&app, &with_origin(origin.clone())).await, 403, "from {origin:?}");
        assert_eq!(upgrade(&app, &[("origin", origin)]).await, 101, "without a cookie there is nothing to steal");
    }
    assert_eq!(upgrade(&app, &[("cookie", cookie)]).await, 101, "what is no browser says no origin");
}

async fn sign_in(app: &TestApp) -> String {
    let query = "mutation { signIn(input: { login: \"edgar\", password: \"PASSWORD\" }) { token } }"
        .replace("PASSWORD", crate::support::PASSWORD);
    let answer = data(app.ask(&query, json!({})).await);
    answer["signIn"]["token"].as_str().unwrap_or_else(|| panic!("a token: {answer:#}")).to_owned()
}

#[tokio::test]
async fn who_signs_out_stops_listening() {
    let app = TestApp::start_with(&[("session_recheck_seconds", "1")]).await;
    let post = post_id(&app).await;
    let token = sign_in(&app).await;
    let mut socket = Socket::connect(&app, Some(&token)).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    let mut sse = Sse::open(&app, Some(&token), None, COMMENT_ADDED, json!({ "post": post })).await;
    let mut public = Sse::open(&app, None, None, COMMENT_ADDED, json!({ "post": post })).await;

    let out = data(app.ask_as(Some(&token), "mutation { signOut { userErrors { code } } }", json!({})).await);
    assert_eq!(out["signOut"]["userErrors"], json!([]), "{out:#}");
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 4403, "{}", frame.reason);
    let why = sse.next().await.expect("a last word");
    assert_eq!(crate::support::code(&why.data), "UNAUTHENTICATED");
    let end = sse.next().await.expect("the end of the stream");
    assert_eq!((end.event.as_str(), &end.data), ("complete", &Value::Null));

    crate::writing::comment(&app, &app.tokens.editor, &post, "for everybody").await;
    assert!(public.next().await.is_some(), "who never signed in goes on listening");
}

#[tokio::test]
async fn another_role_ends_what_was_opened_with_the_old_one() {
    let app = TestApp::start_with(&[("session_recheck_seconds", "1")]).await;
    let socket = Socket::connect(&app, Some(&app.tokens.editor)).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let demote = "UPDATE users SET role = 'READER' WHERE handle = 'edgar'";
    diesel_async::SimpleAsyncConnection::batch_execute(&mut *conn, demote).await.expect("the update");
    drop(conn);
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 4403, "{}", frame.reason);
}
