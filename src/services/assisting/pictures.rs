//! The pictures in a text, and where their alternative texts stand.

use std::ops::Range;

use super::kept::{What, scan};
use crate::services::markdown::source_blocks;

/// So many bytes of an alternative text are looked through for where it begins.
const MAX_ALT_BYTES: usize = 2000;

/// `![alt](target)` in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What stands between the brackets, in bytes.
    pub alt: Range<usize>,
    /// As it is meant: without angle brackets and backslashes.
    pub target: String,
}

/// The pictures with an address of their own, in their order. Those of a reference (`![a][b]`) are none:
/// their brackets may be what names the address.
pub fn pictures(markdown: &str) -> Vec<Picture> {
    let verbatim: Vec<Range<usize>> =
        source_blocks(markdown).into_iter().filter(|block| block.verbatim).map(|block| block.range).collect();
    let found = scan(markdown).into_iter().filter(|kept| kept.what == What::Target);
    let picture = |target: Range<usize>| {
        let end = markdown[..target.start].rfind("](")?;
        let alt = alt_start(markdown, end)?..end;
        let is_code = verbatim.iter().any(|block| block.contains(&end));
        (!is_code).then(|| Picture { alt, target: meant(&markdown[target]) })
    };
    found.filter_map(|kept| picture(kept.range)).collect()
}

/// Where the alternative text begins that ends at `end`; none where that ends the text of a link.
fn alt_start(text: &str, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_escaped = |at: usize| bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let mut depth = 0usize;
    for at in (end.saturating_sub(MAX_ALT_BYTES)..end).rev().filter(|at| matches!(bytes[*at], b'[' | b']')) {
        match bytes[at] {
            _ if is_escaped(at) => {}
            b']' => depth += 1,
            _ if depth > 0 => depth -= 1,
            _ => return (at > 0 && bytes[at - 1] == b'!' && !is_escaped(at - 1)).then_some(at + 1),
        }
    }
    None
}

fn meant(target: &str) -> String {
    let inside = target.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(target);
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' || !chars.peek().is_some_and(char::is_ascii_punctuation) {
            plain.push(c);
        }
    }
    plain.replace("&amp;", "&")
}

/// A plain text as it stands between the brackets, where none of its signs means anything.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '[' | ']' | '*' | '_' | '`' | '<' | '>' | '$' | '&' | '~' | '|' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::services::markdown;

    fn shown(text: &str) -> Vec<(&str, String)> {
        pictures(text).into_iter().map(|it| (&text[it.alt], it.target)).collect()
    }

    #[test]
    fn pictures_are_told_from_links_and_code() {
        for (text, expected) in [
            ("![](a.png) and ![墨 *x*](<b c.png> \"t\")", vec![("", "a.png"), ("墨 *x*", "b c.png")]),
            ("[![a](b.png)](c) [d](e.png)", vec![("a", "b.png")]),
            ("![a [b] c](d) ![e \\] f](g\\_h)", vec![("a [b] c", "d"), ("e \\] f", "g_h")]),
            ("\\![a](b) !\\[a](b) ![a][b]\n\n[b]: c.png", vec![]),
            ("`![a](b)`\n\n```\n![a](b)\n```\n\n    ![a](b)\n\n<p>\n![a](b)\n</p>", vec![]),
            ("![a](x?b=1&amp;c=2)", vec![("a", "x?b=1&c=2")]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(alt, target)| (alt, target.to_owned())).collect();
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_stays_text(said in "[\\PC]{0,40}") {
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = format!("| a |\n|---|\n| ![{}](b.png) |\n", escaped(&said));
            let alt = escaped(&said);
            prop_assert_eq!(shown(&text), vec![(alt.as_str(), "b.png".to_owned())]);
            let html = markdown::render_post(&text).html;
            prop_assert_eq!(html.matches("<img").count(), 1, "{}", html);
        }

        #[test]
        fn nothing_makes_it_panic(text in "(!?\\[|\\]\\(|\\)|\\\\|`|<|>|\n|[a-z墨 ]){0,40}") {
            pictures(&text);
        }
    }
}
