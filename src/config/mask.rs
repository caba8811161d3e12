//! Keeping secrets out of logs, errors and listings.

use std::fmt;

use super::types::Parse;

/// What stands in the place of something hidden.
const MASK: &str = "***";

/// A URL whose password and query are never shown: `Debug` and `Display` mask them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself. Do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url(&self.0))
    }
}

impl Parse for Option<Secret> {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        let (_, rest) = split_scheme(text)?;
        (!rest.is_empty() && !was_masked(text)).then(|| Some(Secret(text.to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|secret| url(&secret.0)).unwrap_or_default()
    }

    fn masked(text: &str) -> String {
        url(text)
    }
}

/// A secret that is never shown, not even a part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The value itself. Do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Parse for Option<Key> {
    fn parse(text: &str) -> Option<Self> {
        let fine = text != MASK && text.chars().all(|c| c.is_ascii_graphic());
        fine.then(|| (!text.is_empty()).then(|| Key(text.to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|_| MASK.to_owned()).unwrap_or_default()
    }

    fn masked(_: &str) -> String {
        MASK.to_owned()
    }
}

/// A value of a setting that holds no secret, as an error may repeat it: people do paste a URL
/// with a password into the wrong setting.
pub(super) fn stray(text: &str) -> String {
    if text.contains("://") && text.contains('@') { url(text) } else { text.to_owned() }
}

/// Whether this is what [`url`] made of a URL, such as a line of `inkstone config`'s output.
pub(super) fn was_masked(text: &str) -> bool {
    [":***@", "://***", "?***"].iter().any(|mark| text.contains(mark))
}

/// The scheme, and what follows its `://`.
pub(super) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let fine = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    fine.then_some((scheme, rest))
}

/// A URL with its password and its query masked; what is no URL is masked whole.
///
/// A password that is not percent-encoded can hide where it ends. Whenever that is in doubt, all
/// after the scheme is masked.
fn url(text: &str) -> String {
    let Some((scheme, rest)) = split_scheme(text) else { return MASK.into() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, host) = authority.split_once('@').map_or((None, authority), |(c, h)| (Some(c), h));
    if tail.contains('@') || !is_host(host) {
        return format!("{scheme}://{MASK}");
    }
    let credentials = match credentials.map(|c| c.split_once(':').ok_or(c)) {
        None => String::new(),
        Some(Ok((user, _))) => format!("{user}:{MASK}@"),
        Some(Err(user)) if scheme.starts_with("postgres") => format!("{user}@"),
        // Elsewhere, as with Redis, people put the password there.
        Some(Err(_)) => format!(":{MASK}@"),
    };
    let (path, query) = tail.find(['?', '#']).map_or((tail, String::new()), |at| (&tail[..at], format!("?{MASK}")));
    format!("{scheme}://{credentials}{host}{path}{query}")
}

/// Whether this is a list of hosts with ports, and cannot be half of a password.
fn is_host(text: &str) -> bool {
    text.split(',').all(|one| {
        let name_and_port = match one.split_once(']') {
            Some((address, port)) if address.starts_with('[') => return port.is_empty() || is_port(port),
            _ => one,
        };
        let (name, port) = name_and_port.split_at(name_and_port.find(':').unwrap_or(name_and_port.len()));
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '%');
        name.chars().all(fine) && (port.is_empty() || is_port(port))
    })
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_queries_are_masked_and_the_rest_is_kept() {
        for (whole, shown) in [
            ("postgres://me:secret@db:5432/site", "postgres://me:***@db:5432/site"),
            ("postgres://me:s:t@a:1,b:2/site?password=y#z", "postgres://me:***@a:1,b:2/site?***"),
            ("postgresql://me@[::1]:5432/site", "postgresql://me@[::1]:5432/site"),
            ("postgres://me:secret@%2Fvar%2Frun/site", "postgres://me:***@%2Fvar%2Frun/site"),
            ("redis://db:6379/2", "redis://db:6379/2"),
            ("rediss://:secret@db", "rediss://:***@db"),
            ("redis://secret@db", "redis://:***@db"),
        ] {
            assert_eq!(url(whole), shown);
        }
    }

    #[test]
    fn a_password_that_is_not_percent_encoded_is_masked_with_all_around_it() {
        let passwords = ["hun/ter2", "hun?ter2", "hun#ter2", "hun@ter2", "hun@te/r2", "hun:te?r@2", "h://un@ter2"];
        for password in passwords {
            for text in [format!("postgres://me:{password}@db/site"), format!("redis://:{password}@db:6379")] {
                let shown = url(&text);
                assert_eq!(shown, format!("{}://***", text.split(':').next().unwrap_or_default()));
            }
        }
        for text in ["hunter2", "me:hunter2@db/x?y=postgres://", "postgres://me:hunter2", "host=db password=hunter2"] {
            assert!(!url(text).contains("hunter2"), "{}", url(text));
        }
    }

    #[test]
    fn a_masked_url_is_known_as_one() {
        for text in ["postgres://me:secret@db", "postgres://db?password=x", "redis://a@b@c", "redis://x@h"] {
            assert!(was_masked(&url(text)), "{}", url(text));
            assert_eq!(Option::<Secret>::parse(&url(text)), None);
        }
        assert!(!was_masked("postgres://me:a***b@db/site"));
    }

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret("redis://:hunter2@db".into());
        assert_eq!(format!("{secret:?} {secret}"), "redis://:***@db redis://:***@db");
        assert_eq!(secret.expose(), "redis://:hunter2@db");
    }
}
