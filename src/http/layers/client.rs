//! Where a request comes from: the connection, or what trusted proxies say of it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;

use crate::config::Networks;

/// The address that limits are counted by. `None` where there is no connection, as in tests of
/// routes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

/// Where a request comes from.
pub(super) fn find(request: &Request, trusted: &Networks) -> ClientAddress {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    ClientAddress(peer.map(|peer| behind(peer, request.headers(), trusted)))
}

/// The last address that no trusted proxy stands behind. Each proxy appends whom it heard, so the
/// list is read from its end, and only as long as proxies wrote it; the rest a client can invent.
fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let entries = headers.get_all("x-forwarded-for").iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let mut entries: Vec<Option<IpAddr>> = entries.map(address).collect();
    let mut client = peer;
    while trusted.contains(client) {
        match entries.pop() {
            Some(Some(before)) => client = before,
            Some(None) | None => break,
        }
    }
    client
}

/// An address, also with a port or in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let found = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    let found = found.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    found.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::Parse;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let trusted = Networks::parse(trusted).expect("networks");
        behind(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], ""), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], "10.0.0.0/8"), "203.0.113.9");
    }

    #[test]
    fn what_a_client_wrote_before_the_proxy_is_not_believed() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "10.0.0.0/8"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.2.3.4"], "10.0.0.0/8"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[], "10.0.0.0/8"), "10.0.0.1");
    }

    #[test]
    fn addresses_come_in_several_spellings() {
        assert_eq!(client("::1", &["[2001:db8::7]:4711"], "::1"), "2001:db8::7");
        assert_eq!(client("::1", &["[2001:db8::7]"], "::1"), "2001:db8::7");
        assert_eq!(client("::1", &["::ffff:198.51.100.1"], "::1"), "198.51.100.1");
        assert_eq!(client("127.0.0.1", &["198.51.100.1:80"], "127.0.0.1"), "198.51.100.1");
    }
}
