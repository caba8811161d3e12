//! Checks that more than one verb makes of its input.

use super::{Refusal, RefusalCode, ServiceError};

/// Longest Markdown of a post, in bytes.
pub const MAX_POST_BYTES: usize = 1024 * 1024;
/// Longest Markdown of a comment, in bytes.
pub const MAX_COMMENT_BYTES: usize = 16 * 1024;

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

    /// A text with something in it, of at most `max` characters.
    pub fn text(&mut self, field: &'static str, value: &str, max: usize) -> &mut Self {
        self.that(!value.trim().is_empty(), RefusalCode::Invalid, field, || format!("{field} is empty"));
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

    /// A slug: letters, digits, hyphens and underscores, lower case.
    pub fn slug(&mut self, value: &str) -> &mut Self {
        let fine = !value.is_empty()
            && value.chars().count() <= 100
            && !value.starts_with('-')
            && !value.ends_with('-')
            && value.chars().all(|c| matches!(c, '-' | '_') || (c.is_alphanumeric() && c.to_lowercase().eq([c])));
        self.that(fine, RefusalCode::Invalid, "slug", || {
            format!("{value:?} is not a slug: up to 100 lower-case letters, digits, - and _, such as \"my-first-post\"")
        })
    }

    /// A BCP 47 language tag, roughly: `en`, `zh`, `zh-Hant`.
    pub fn language(&mut self, value: &str) -> &mut Self {
        let fine = value.len() <= 35
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

#[cfg(test)]
mod tests {
    use super::*;

    fn slug_is_fine(slug: &str) -> bool {
        Check::default().slug(slug).done().is_ok()
    }

    #[test]
    fn slugs_are_lower_case_words_of_any_script() {
        for fine in ["a", "my-first-post", "2024", "雨夜", "café"] {
            assert!(slug_is_fine(fine), "{fine:?} should be a slug");
        }
        for wrong in ["", "-a", "a-", "A", "a b", "a/b", "a.b", "<a>", &"x".repeat(101)] {
            assert!(!slug_is_fine(wrong), "{wrong:?} should not be a slug");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let refused = Check::default().slug("A").language("english!").url("url", Some("javascript:alert(1)")).done();
        let Err(ServiceError::Refused(all)) = refused else { panic!("expected a refusal") };
        assert_eq!(all.iter().filter_map(|r| r.field).collect::<Vec<_>>(), ["slug", "language", "url"]);
    }
}
