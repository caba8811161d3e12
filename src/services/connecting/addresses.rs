//! What a link is about, by its address.

use ammonia::Url;

use super::names::is_name;
use crate::store::entities::EntityKind;

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A post of this site, perhaps, by its slug.
    Post(String),
    Thing {
        name: String,
        kind: EntityKind,
    },
    /// The front page of some other site.
    Front,
}

/// Parts of GitHub's addresses that are no owners.
const NO_OWNERS: &[&str] = &[
    "about",
    "apps",
    "collections",
    "enterprise",
    "explore",
    "features",
    "marketplace",
    "orgs",
    "search",
    "settings",
    "sponsors",
    "topics",
    "trending",
    "users",
];

/// What an address leads to; `origin` is this site's own. None if nothing can be told.
pub fn target(url: &str, origin: &str) -> Option<Target> {
    let own = url.strip_prefix(origin).filter(|rest| rest.starts_with('/')).unwrap_or(url);
    if own.starts_with('/') && !own.starts_with("//") {
        return post_slug(own).map(Target::Post);
    }
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = url.host_str()?.trim_start_matches("www.").to_ascii_lowercase();
    let path: Vec<String> = url.path_segments()?.filter(|part| !part.is_empty()).map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let thing = |name: &str, kind| is_name(name).then(|| Target::Thing { name: name.to_owned(), kind });
    match (host.as_str(), path.as_slice()) {
        ("github.com" | "gitlab.com" | "codeberg.org", [owner, name, ..]) if !NO_OWNERS.contains(owner) => {
            let name = name.trim_end_matches(".git");
            let plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            (plain(owner) && plain(name)).then(|| thing(&format!("{owner}/{name}"), EntityKind::Project)).flatten()
        }
        ("crates.io", ["crates", name, ..]) | ("docs.rs", [name, ..]) | ("pypi.org", ["project", name, ..]) => {
            thing(name, EntityKind::Technology)
        }
        ("npmjs.com", ["package", scope, name, ..]) if scope.starts_with('@') => {
            thing(&format!("{scope}/{name}"), EntityKind::Technology)
        }
        ("npmjs.com", ["package", name, ..]) => thing(name, EntityKind::Technology),
        (host, ["wiki", title, ..]) if host.ends_with("wikipedia.org") && !title.contains(':') => {
            thing(&article(title), EntityKind::Concept)
        }
        (_, []) => Some(Target::Front),
        _ => None,
    }
}

/// The last part of a path of this site.
fn post_slug(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next()?;
    let last = path.trim_end_matches('/').rsplit('/').next().map(decoded)?;
    (!last.is_empty() && last.len() <= 300 && !last.contains('\0')).then_some(last)
}

/// What an article of Wikipedia is about: its title without what tells it from others.
fn article(title: &str) -> String {
    let title = title.replace('_', " ");
    let plain = title.split(" (").next().unwrap_or_default();
    plain.trim().to_owned()
}

/// A part of a path with its `%41` read.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match hex {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_it_leads_to() {
        let thing = |name: &str, kind| Some(Target::Thing { name: name.into(), kind });
        let post = |slug: &str| Some(Target::Post(slug.into()));
        for (url, expected) in [
            ("/posts/kettle#top", post("kettle")),
            ("/zh/posts/%E8%8C%B6/", post("茶")),
            ("https://me.example/posts/tea?x=1", post("tea")),
            ("https://me.example.evil.org/posts/tea", None),
            ("https://github.com/tokio-rs/tokio/issues/1", thing("tokio-rs/tokio", EntityKind::Project)),
            ("https://github.com/topics/rust", None),
            ("https://github.com/a%0Ab/c", None),
            ("https://crates.io/crates/serde", thing("serde", EntityKind::Technology)),
            ("https://www.npmjs.com/package/@urql/core", thing("@urql/core", EntityKind::Technology)),
            ("https://en.wikipedia.org/wiki/Rust_(programming_language)", thing("Rust", EntityKind::Concept)),
            ("https://zh.wikipedia.org/wiki/%E5%AE%A3%E7%BA%B8", thing("宣纸", EntityKind::Concept)),
            ("https://en.wikipedia.org/wiki/Talk:Rust", None),
            ("https://www.example.org/", Some(Target::Front)),
            ("javascript:alert(1)", None),
            ("//evil.example/posts/x", None),
            ("#part", None),
            ("", None),
        ] {
            assert_eq!(target(url, "https://me.example"), expected, "{url:?}");
        }
    }

    #[test]
    fn a_broken_escape_stays_as_it_is() {
        assert_eq!(decoded("a%"), "a%");
        assert_eq!(decoded("%zz%41"), "%zzA");
        assert_eq!(decoded("%e8"), "\u{fffd}");
    }
}
