//! Where everything is to be found: absolute addresses, made from settings only.
//!
//! Never from the `Host` of a request: documents are cached, and whoever asked first would choose
//! where everybody's links lead.

use crate::services::validate::Check;
use crate::store::posts::PostKind;

/// The formats of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RSS 2.0.
    Rss,
    /// RFC 4287.
    Atom,
    /// JSON Feed 1.1.
    Json,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Rss, Self::Atom, Self::Json];

    /// The last part of its address.
    pub fn file(self) -> &'static str {
        match self {
            Self::Rss => "feed.xml",
            Self::Atom => "atom.xml",
            Self::Json => "feed.json",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Rss => "application/rss+xml",
            Self::Atom => "application/atom+xml",
            Self::Json => "application/feed+json",
        }
    }
}

/// Which posts a feed is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    /// The slug of a tag.
    Tag(String),
    /// A BCP 47 tag.
    Language(String),
}

impl Scope {
    /// False for what nothing can be called: not worth a look.
    pub(super) fn is_well_formed(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Tag(slug) => Check::default().slug(slug).done().is_ok(),
            Self::Language(language) => Check::default().language(language).done().is_ok(),
        }
    }
}

/// The addresses of one site.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Scheme and authority.
    pub origin: String,
    /// With `{slug}`, perhaps with `{language}`; so are the others.
    pub post_path: String,
    pub project_path: String,
    pub page_path: String,
}

impl Addresses {
    pub(super) fn home(&self) -> String {
        format!("{}/", self.origin)
    }

    pub(super) fn sitemap(&self) -> String {
        format!("{}/sitemap.xml", self.origin)
    }

    pub(super) fn feed(&self, scope: &Scope, format: Format) -> String {
        let file = format.file();
        match scope {
            Scope::Everything => format!("{}/{file}", self.origin),
            Scope::Tag(slug) => format!("{}/tags/{}/{file}", self.origin, escaped(slug)),
            Scope::Language(language) => format!("{}/{}/{file}", self.origin, escaped(language)),
        }
    }

    /// The page of a post on the front end.
    pub fn post(&self, kind: PostKind, slug: &str, language: &str) -> String {
        let path = match kind {
            PostKind::Article | PostKind::Note => &self.post_path,
            PostKind::Project => &self.project_path,
            PostKind::Page => &self.page_path,
        };
        format!("{}{}", self.origin, escaped(&path.replace("{language}", language).replace("{slug}", slug)))
    }

    /// The name of a document in the cache: settings that link elsewhere give another document.
    pub(super) fn cache_name(&self, address: &str) -> String {
        [address, &self.post_path, &self.project_path, &self.page_path].join(" ")
    }
}

/// A path in which what a URL cannot hold is percent-encoded.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => out.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        Addresses {
            origin: "https://example.org".into(),
            post_path: "/{language}/posts/{slug}?from=feed".into(),
            project_path: "/projects/{slug}/".into(),
            page_path: "/{slug}".into(),
        }
    }

    #[test]
    fn a_post_stands_where_the_setting_says() {
        let addresses = addresses();
        for (kind, wanted) in [
            (PostKind::Article, "https://example.org/zh/posts/%E9%9B%A8-a_1?from=feed"),
            (PostKind::Note, "https://example.org/zh/posts/%E9%9B%A8-a_1?from=feed"),
            (PostKind::Project, "https://example.org/projects/%E9%9B%A8-a_1/"),
            (PostKind::Page, "https://example.org/%E9%9B%A8-a_1"),
        ] {
            assert_eq!(addresses.post(kind, "雨-a_1", "zh"), wanted);
        }
    }

    #[test]
    fn a_feed_tells_the_address_that_it_was_asked_at() {
        let addresses = addresses();
        for (scope, format, wanted) in [
            (Scope::Everything, Format::Rss, "https://example.org/feed.xml"),
            (Scope::Tag("茶".into()), Format::Atom, "https://example.org/tags/%E8%8C%B6/atom.xml"),
            (Scope::Language("pt-BR".into()), Format::Json, "https://example.org/pt-BR/feed.json"),
        ] {
            assert_eq!(addresses.feed(&scope, format), wanted);
        }
    }

    #[test]
    fn what_nothing_can_be_called_is_known_without_asking() {
        for scope in [Scope::Everything, Scope::Tag("茶".into()), Scope::Language("zh-Hant".into())] {
            assert!(scope.is_well_formed(), "{scope:?}");
        }
        for text in ["", "a/b", "nul\0", "<a>", &"x".repeat(101), "A"] {
            assert!(!Scope::Tag(text.into()).is_well_formed(), "tag {text:?}");
            assert!(!Scope::Language(text.into()).is_well_formed(), "language {text:?}");
        }
        assert!(!Scope::Language("graphql".into()).is_well_formed());
    }
}
