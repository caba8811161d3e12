//! Fenced code as `hl-` classes. Imported by this room only.
//!
//! syntect's own set of about 75 grammars; it has no TypeScript, TOML, GraphQL, Dockerfile, Kotlin or
//! Swift, and a language that it does not know stays plain. One more name for a grammar that is there: `alias`.

use comrak::adapters::SyntaxHighlighterAdapter;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use syntect::html::{ClassStyle, ClassedHTMLGenerator};
use syntect::parsing::SyntaxSet;
use syntect::util::LinesWithEndings;

/// Class prefix, so that a theme's rules meet code and nothing else.
const PREFIX: &str = "hl-";
/// A longer block stays plain.
const MAX_BLOCK_BYTES: usize = 64 * 1024;
/// A block with a longer line stays plain: the grammars' regular expressions backtrack within a line.
const MAX_LINE_BYTES: usize = 4 * 1024;
/// Highlighted code per document; blocks that come later stay plain.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// A block whose spans nest deeper stays plain.
const MAX_SPAN_DEPTH: usize = 64;

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Colours the fenced blocks of one document.
pub(super) struct Highlighter {
    /// Bytes that may still be highlighted.
    budget: AtomicUsize,
}

impl Default for Highlighter {
    fn default() -> Self {
        Self { budget: AtomicUsize::new(MAX_DOCUMENT_BYTES) }
    }
}

impl Highlighter {
    /// Whether there is budget for `bytes` more, which is then taken.
    fn take(&self, bytes: usize) -> bool {
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl SyntaxHighlighterAdapter for Highlighter {
    fn write_highlighted(&self, output: &mut dyn fmt::Write, lang: Option<&str>, code: &str) -> fmt::Result {
        let classed = lang
            .filter(|lang| !lang.is_empty() && fits(code) && self.take(code.len()))
            .and_then(|lang| classed(lang, code));
        match classed {
            Some(html) => output.write_str(&html),
            None => comrak::html::escape(output, code),
        }
    }

    fn write_pre_tag(
        &self,
        output: &mut dyn fmt::Write,
        _attributes: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        output.write_str("<pre>")
    }

    fn write_code_tag(
        &self,
        output: &mut dyn fmt::Write,
        attributes: HashMap<&'static str, Cow<'_, str>>,
    ) -> fmt::Result {
        // Only the class is ever given, as no option that adds another attribute is on.
        match attributes.get("class").and_then(|class| language(class)) {
            Some(class) => write!(output, "<code class=\"{class}\">"),
            None => output.write_str("<code>"),
        }
    }
}

fn fits(code: &str) -> bool {
    code.len() <= MAX_BLOCK_BYTES && code.lines().all(|line| line.len() <= MAX_LINE_BYTES)
}

/// `language-xyz` in lower case if it is a plain name, so that nobody smuggles a class in.
pub(super) fn language(class: &str) -> Option<String> {
    let name = class.strip_prefix("language-")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.' | '#');
    (!name.is_empty() && name.len() <= 40 && name.chars().all(plain))
        .then(|| format!("language-{}", name.to_ascii_lowercase()))
}

/// A name people write, as one that syntect's grammars answer to.
fn alias(lang: &str) -> &str {
    match lang {
        "jsx" | "mjs" | "cjs" => "js",
        "jsonc" | "json5" => "json",
        "golang" => "go",
        "shell" | "console" | "zsh" => "bash",
        "c++" => "cpp",
        "csharp" => "cs",
        "vue" | "svelte" => "html",
        _ => lang,
    }
}

/// The code as spans with classes; `None` if the language is not known or the grammar fails on it.
fn classed(lang: &str, code: &str) -> Option<String> {
    let lang = lang.to_ascii_lowercase();
    let syntax = SYNTAXES.find_syntax_by_token(alias(&lang))?;
    let style = ClassStyle::SpacedPrefixed { prefix: PREFIX };
    let mut generator = ClassedHTMLGenerator::new_with_class_style(syntax, &SYNTAXES, style);
    for line in LinesWithEndings::from(code) {
        generator.parse_html_for_line_which_includes_newline(line).ok()?;
    }
    let html = generator.finalize();
    (span_depth(&html) <= MAX_SPAN_DEPTH).then_some(html)
}

/// How deep the spans nest. In syntect's output a `<` only ever starts a tag.
fn span_depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (at, _) in html.match_indices('<') {
        if html[at..].starts_with("</") {
            depth = depth.saturating_sub(1);
        } else {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lang: &str, code: &str) -> String {
        let mut out = String::new();
        Highlighter::default().write_highlighted(&mut out, Some(lang), code).expect("a String takes everything");
        out
    }

    #[test]
    fn known_languages_get_classes_and_unknown_ones_stay_plain() {
        assert!(written("rust", "fn main() {}\n").contains("hl-storage"));
        assert!(written("C++", "int x;\n").contains("hl-storage"));
        for lang in ["typescript", "toml", "graphql", "no-such-language", ""] {
            assert_eq!(written(lang, "a < b\n"), "a &lt; b\n", "{lang}");
        }
    }

    #[test]
    fn large_blocks_long_lines_and_deep_nesting_stay_plain() {
        let line = "let x = 1;\n";
        let over = line.repeat(MAX_BLOCK_BYTES / line.len() + 1);
        assert!(!written("rust", &over).contains("<span"));
        assert!(!written("rust", &"x".repeat(MAX_LINE_BYTES + 1)).contains("<span"));
        assert!(written("rust", line).contains("<span"));
        assert!(written("json", "[[1]]").contains("<span"));
        assert!(!written("json", &"[".repeat(2000)).contains("<span"));
    }

    #[test]
    fn a_document_has_one_budget() {
        let highlighter = Highlighter::default();
        assert!(highlighter.take(MAX_DOCUMENT_BYTES));
        assert!(!highlighter.take(1));
    }

    #[test]
    fn a_language_class_is_a_plain_name() {
        assert_eq!(language("language-Rust").as_deref(), Some("language-rust"));
        assert_eq!(language("language-c++").as_deref(), Some("language-c++"));
        for class in ["language-", "language-a b", "language-\"x", "evil", "language-é"] {
            assert_eq!(language(class), None, "{class}");
        }
    }
}
