//! Slugs: readable names for addresses that keep every script. The one rule for posts, tags,
//! series and headings, whether they come through the API or out of a folder.
//!
//! Pure. Imported by the rest of this room only.

use std::borrow::Cow;

/// Characters of a slug; a longer text is cut here.
pub const MAX_SLUG_CHARS: usize = 100;

/// Lower case: letters and digits of any script and `_`, one hyphen for each run of anything else. A
/// `+` or `#` at the end of a word belongs to its name, as in C++ and C#, and is spelled.
///
/// Empty only for a text without a letter or digit (in its first [`MAX_SLUG_CHARS`] characters).
/// A slug is its own slug, which is what [`is_slug`] asks.
pub fn slugify(text: &str) -> String {
    let mut slug = String::new();
    let mut chars = 0;
    let mut gap = false;
    for c in spelled(&text.to_lowercase()).chars() {
        let part = c.is_alphanumeric() || c == '_' || (is_combining(c) && !slug.is_empty() && !gap);
        if part {
            let hyphen = gap && !slug.is_empty();
            if chars + 1 + usize::from(hyphen) > MAX_SLUG_CHARS {
                break;
            }
            if hyphen {
                slug.push('-');
                chars += 1;
            }
            slug.push(c);
            chars += 1;
            gap = false;
        } else if !matches!(c, '\'' | '’') {
            // "don't" is one word: "dont".
            gap = true;
        }
    }
    if slug.chars().any(char::is_alphanumeric) { slug } else { String::new() }
}

/// `c++` as `c-plus-plus`, `c#` as `c-sharp`; elsewhere the two signs are no part of a word.
fn spelled(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '#']) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['+', '#']) {
        let (before, signs) = rest.split_at(at);
        let end = signs.find(|c| !matches!(c, '+' | '#')).unwrap_or(signs.len());
        let (signs, behind) = signs.split_at(end);
        spelled.push_str(before);
        let ends_word = before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric);
        for sign in signs.chars() {
            spelled.push_str(match (ends_word, sign) {
                (false, _) => " ",
                (true, '+') => "-plus",
                (true, _) => "-sharp",
            });
        }
        rest = behind;
    }
    spelled.push_str(rest);
    Cow::Owned(spelled)
}

/// True for what [`slugify`] gives and leaves as it is.
pub fn is_slug(text: &str) -> bool {
    !text.is_empty() && slugify(text) == text
}

/// Marks that belong to the character before them: accents written apart, the vowel signs of
/// Indic scripts and Thai, variation selectors.
pub fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}')
        || is_sign(c)
}

/// No letters to Unicode, but part of the word; the block's own punctuation is not.
fn is_sign(c: char) -> bool {
    let punctuation = ['\u{964}', '\u{965}', '\u{970}', '\u{df4}', '\u{e3f}', '\u{e4f}', '\u{e5a}', '\u{e5b}'];
    matches!(c, '\u{900}'..='\u{eff}') && !punctuation.contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slugs_are_readable() {
        for (text, slug) in [
            ("Hello, World!", "hello-world"),
            ("你好，世界", "你好-世界"),
            ("用 Rust 写博客：第一篇", "用-rust-写博客-第一篇"),
            ("Rust 的所有权 (2026)", "rust-的所有权-2026"),
            ("../../etc/passwd", "etc-passwd"),
            ("a\u{0}b\nc", "a-b-c"),
            ("snake_case", "snake_case"),
            ("C++", "c-plus-plus"),
            ("C# in depth", "c-sharp-in-depth"),
            ("Notepad++, C#", "notepad-plus-plus-c-sharp"),
            ("1 + 1, a+b, issue#3, # x", "1-1-a-b-issue-3-x"),
            ("  --a -- b--  ", "a-b"),
            ("Don't", "dont"),
            ("Ünïcode É", "ünïcode-é"),
            ("cafe\u{301} noir", "cafe\u{301}-noir"),
            ("İstanbul", "i\u{307}stanbul"),
            ("हिन्दी। दो", "हिन्दी-दो"),
            ("🎉", ""),
            ("_!_", ""),
            ("", ""),
        ] {
            assert_eq!(slugify(text), slug, "slug of {text:?}");
            assert_eq!(is_slug(slug), !slug.is_empty(), "{slug:?}");
        }
    }

    #[test]
    fn a_long_slug_is_cut_and_stays_a_slug() {
        let slug = slugify(&"字 ".repeat(300));
        assert_eq!(slug.chars().count(), 99);
        assert!(!slug.ends_with('-'));
        assert_eq!(slugify(&"字".repeat(150)), "字".repeat(100));
        assert!(is_slug(&"字".repeat(100)) && !is_slug(&"字".repeat(101)));
    }

    proptest! {
        #[test]
        fn a_slug_is_safe_stable_and_present(text in ".{0,60}") {
            let slug = slugify(&text);
            prop_assert_eq!(&slugify(&slug), &slug);
            prop_assert!(slug.chars().all(|c| matches!(c, '-' | '_') || c.is_alphanumeric() || is_combining(c)));
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-') && !slug.contains("--"));
            prop_assert!(!slug.contains(['/', '\\', '.', ' ']) && !slug.chars().any(char::is_control));
            prop_assert_eq!(slug.is_empty(), !text.chars().any(char::is_alphanumeric));
        }

        #[test]
        fn a_slug_is_bounded(text in ".{0,300}") {
            prop_assert!(slugify(&text).chars().count() <= MAX_SLUG_CHARS);
        }
    }
}
