//! Checks that more than one verb makes of its input.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::dates;
use super::slug::{MAX_SLUG_CHARS, is_slug, slugify};
use super::{Refusal, RefusalCode, ServiceError};

/// Longest Markdown of a post, in bytes.
pub const MAX_POST_BYTES: usize = 1024 * 1024;
/// Longest Markdown of a comment, in bytes.
pub const MAX_COMMENT_BYTES: usize = 16 * 1024;

/// Longest JSON of a post's further fields, in bytes, and how deep it may be.
pub const MAX_CUSTOM_BYTES: usize = 64 * 1024;
const MAX_CUSTOM_DEPTH: usize = 16;

/// Collects everything that is wrong with an input, so that it is told at once.
#[derive(Default)]
pub struct Check(Vec<Refusal>);

impl Check {
    /// Refuses when `ok` is false.
    pub fn that(
        &mut self,
        ok: bool,
        code: RefusalCode,
        field: &'static str,
        message: impl FnOnce() -> String,
    ) -> &mut Self {
        if !ok {
            self.0.push(Refusal { code, field: Some(field), message: message() });
        }
        self
    }

    /// A line with something in it, of at most `max` characters.
    pub fn text(&mut self, field: &'static str, value: &str, max: usize) -> &mut Self {
        self.that(!value.trim().is_empty(), RefusalCode::Invalid, field, || format!("{field} is empty"));
        let one_line = !value.trim().chars().any(|c| c.is_control() && c != '\0');
        self.that(one_line, RefusalCode::Invalid, field, || {
            format!("{field} holds a line break or another control character: write it in one line")
        });
        self.at_most(field, value, max)
    }

    /// A text of at most `max` characters.
    pub fn at_most(&mut self, field: &'static str, value: &str, max: usize) -> &mut Self {
        let count = value.chars().count();
        self.that(count <= max, RefusalCode::TooLong, field, || {
            format!("{field} has {count} characters: at most {max} are allowed")
        });
        self.that(!value.contains('\0'), RefusalCode::Invalid, field, || format!("{field} contains a NUL character"))
    }

    /// Markdown of at most `max` bytes.
    pub fn markdown(&mut self, value: &str, max: usize) -> &mut Self {
        self.that(value.len() <= max, RefusalCode::TooLong, "markdown", || {
            format!("markdown has {} bytes: at most {max} are allowed", value.len())
        });
        self.that(!value.contains('\0'), RefusalCode::Invalid, "markdown", || {
            "markdown contains a NUL character".into()
        })
    }

    /// A slug: what `slugify` would make of it.
    pub fn slug(&mut self, value: &str) -> &mut Self {
        self.that(is_slug(value), RefusalCode::Invalid, "slug", || {
            let nearest = match slugify(value) {
                slug if slug.is_empty() => "my-first-post".to_owned(),
                slug => slug,
            };
            format!(
                "{value:?} is not a slug: up to {MAX_SLUG_CHARS} lower-case letters, digits and _, with single hyphens \
                 between them, such as {nearest:?}"
            )
        })
    }

    /// A BCP 47 language tag, roughly: `en`, `zh`, `zh-Hant`.
    pub fn language(&mut self, value: &str) -> &mut Self {
        let fine = value.len() <= 35
            && value.split('-').count() <= 8
            && value
                .split('-')
                .all(|part| (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric()))
            && value
                .split('-')
                .next()
                .is_some_and(|l| (2..=3).contains(&l.len()) && l.chars().all(|c| c.is_ascii_alphabetic()));
        self.that(fine, RefusalCode::Invalid, "language", || {
            format!("{value:?} is not a language tag: expected something like \"en\", \"zh\" or \"pt-BR\"")
        })
    }

    /// A user's handle.
    pub fn handle(&mut self, value: &str) -> &mut Self {
        let fine = (2..=40).contains(&value.len())
            && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        self.that(fine, RefusalCode::Invalid, "handle", || {
            format!("{value:?} is not a handle: 2 to 40 of a-z, 0-9, - and _")
        })
    }

    /// The tags of a post: names of at most 60 characters, or slugs of at most `max_slug`.
    pub fn tags(&mut self, tags: &[String], max_slug: usize) -> &mut Self {
        self.that(tags.len() <= 50, RefusalCode::TooLong, "tags", || {
            format!("{} tags: at most 50 are allowed", tags.len())
        });
        for tag in tags {
            self.text("tags", tag, if is_slug(tag) { max_slug } else { 60 });
            self.that(tag.trim().is_empty() || !slugify(tag).is_empty(), RefusalCode::Invalid, "tags", || {
                format!("{tag:?} is not a tag: it needs a letter or a digit")
            });
        }
        self
    }

    /// Further fields of a post, within what a file of an export can hold.
    pub fn custom(&mut self, fields: &serde_json::Map<String, Value>) -> &mut Self {
        let bytes = serde_json::to_string(fields).map_or(usize::MAX, |text| text.len());
        self.that(bytes <= MAX_CUSTOM_BYTES, RefusalCode::TooLong, "custom", || {
            format!("custom has {bytes} bytes of JSON: at most {MAX_CUSTOM_BYTES} are allowed")
        });
        let deep = fields.values().any(|value| is_deeper(value, MAX_CUSTOM_DEPTH));
        self.that(!deep, RefusalCode::Invalid, "custom", || {
            format!("custom is nested more than {MAX_CUSTOM_DEPTH} levels deep")
        })
    }

    /// A link that a page may show: http, https or mailto.
    pub fn link(&mut self, field: &'static str, value: &str) -> &mut Self {
        if value.starts_with("mailto:")
            && value.len() <= 300
            && !value.chars().any(|c| c.is_whitespace() || "\"<>".contains(c))
        {
            return self;
        }
        self.url(field, Some(value))
    }

    /// A date that the site takes.
    pub fn date(&mut self, field: &'static str, at: DateTime<Utc>) -> &mut Self {
        self.that(dates::is_in_range(&at), RefusalCode::Invalid, field, || {
            format!("{field} is {at}: expected {}", dates::RANGE)
        })
    }

    /// An http or https URL, or nothing.
    pub fn url(&mut self, field: &'static str, value: Option<&str>) -> &mut Self {
        let Some(value) = value else { return self };
        let fine = value.len() <= 2000
            && (value.starts_with("https://") || value.starts_with("http://"))
            && !value.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>'));
        self.that(fine, RefusalCode::Invalid, field, || format!("{value:?} is not an http or https URL"))
    }

    /// A path of the site, or an http or https URL, or nothing.
    pub fn picture(&mut self, field: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(path) if path.starts_with('/') && !path.starts_with("//") => self.at_most(field, path, 2000),
            value => self.url(field, value),
        }
    }

    /// Errors: `Refused` with everything that was found.
    pub fn done(&mut self) -> Result<(), ServiceError> {
        if self.0.is_empty() { Ok(()) } else { Err(ServiceError::Refused(std::mem::take(&mut self.0))) }
    }
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    let inner: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return false,
    };
    depth == 0 || inner.into_iter().any(|value| is_deeper(value, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug_is_fine(slug: &str) -> bool {
        Check::default().slug(slug).done().is_ok()
    }

    #[test]
    fn slugs_are_lower_case_words_of_any_script() {
        for fine in ["a", "my-first-post", "2024", "雨夜", "café", "a_b", &"x".repeat(100)] {
            assert!(slug_is_fine(fine), "{fine:?} should be a slug");
        }
        for wrong in ["", "-a", "a-", "a--b", "_", "A", "a b", "a/b", "a.b", "<a>", &"x".repeat(101)] {
            assert!(!slug_is_fine(wrong), "{wrong:?} should not be a slug");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let refused = Check::default().slug("A").language("english!").url("url", Some("javascript:alert(1)")).done();
        let Err(ServiceError::Refused(all)) = refused else { panic!("expected a refusal") };
        assert_eq!(all.iter().filter_map(|r| r.field).collect::<Vec<_>>(), ["slug", "language", "url"]);
    }

    #[test]
    fn further_fields_are_bounded() {
        let nested = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::from(vec![inner]));
        let fits =
            |value: Value| Check::default().custom(&[("a".to_owned(), value)].into_iter().collect()).done().is_ok();
        assert!(fits(nested(16)) && !fits(nested(17)));
        assert!(fits(Value::from("x".repeat(64_000))) && !fits(Value::from("x".repeat(66_000))));
    }

    #[test]
    fn a_line_is_one_line() {
        let fits = |text: &str| Check::default().text("title", text, 9).done().is_ok();
        assert!(fits("a b") && fits(" a\n"), "what is around it is cut off");
        assert!(!fits("a\nb") && !fits("a\u{7}b") && !fits("a\0b") && !fits("\n"));
    }
}
