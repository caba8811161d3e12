//! Keeping secrets out of logs, errors and listings.

use std::fmt;

use super::types::Parse;

/// A value that is never shown: `Debug` masks it.
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
        f.write_str(&url(&self.0))
    }
}

impl Parse for Option<Secret> {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        let (scheme, rest) = text.split_once("://")?;
        let known = ["postgres", "postgresql", "redis", "rediss"].contains(&scheme);
        (known && !rest.is_empty()).then(|| Some(Secret(text.to_owned())))
    }

    fn show(&self) -> String {
        self.as_ref().map(|secret| url(&secret.0)).unwrap_or_default()
    }
}

/// A value as an error message may show it.
pub(super) fn value(name: &str, text: &str) -> String {
    if name.ends_with("_url") && name != "public_url" { url(text) } else { text.to_owned() }
}

/// A URL with its password and its query masked. What is no URL is masked whole.
fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return "***".into() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}:***@{host}", user.split(':').next().unwrap_or_default()),
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_queries_are_masked() {
        for (whole, shown) in [
            ("postgres://me:pa@ss/w@db:5432/site?sslmode=x&password=y", "postgres://me:***@ss/w@db:5432/site?***"),
            ("postgres://me:secret@db:5432/site", "postgres://me:***@db:5432/site"),
            ("redis://db:6379", "redis://db:6379"),
            ("hunter2", "***"),
        ] {
            assert_eq!(url(whole), shown);
        }
        assert!(!format!("{:?}", Secret("redis://:hunter2@db".into())).contains("hunter2"));
    }
}
