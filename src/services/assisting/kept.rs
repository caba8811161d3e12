//! What of a text must come back as it was: addresses, tags, code, formulas. No model has a say in
//! where a link leads, also where a post tells it to.

use std::ops::Range;

use crate::services::words::is_cjk;

/// A piece of Markdown that is no prose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub range: Range<usize>,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Where a link or a picture leads, inside its parentheses.
    Target,
    /// An address or a tag that stands for itself, a footnote's mark.
    Mark,
    /// Code or a formula, with its signs.
    Code,
}

/// The pieces, in their order.
pub fn scan(text: &str) -> Vec<Kept> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match piece(text, at) {
            Some(kept) => {
                at = kept.range.end.max(at + 1);
                found.push(kept);
            }
            None => at += step(&text[at..]),
        }
    }
    found
}

/// How far to go on: over an escaped character, a run of signs that opens nothing, or one character.
fn step(rest: &str) -> usize {
    let mut chars = rest.chars();
    match chars.next() {
        Some('\\') => 1 + chars.next().map_or(0, char::len_utf8),
        Some(sign @ ('`' | '$')) => rest.len() - rest.trim_start_matches(sign).len(),
        Some(c) => c.len_utf8(),
        None => 1,
    }
}

/// The piece that begins here.
fn piece(text: &str, at: usize) -> Option<Kept> {
    let rest = &text[at..];
    let kept = |from: usize, to: usize, what| Some(Kept { range: at + from..at + to, what });
    match rest.as_bytes()[0] {
        b'`' => kept(0, code(rest, '`')?, What::Code),
        b'$' => kept(0, formula(rest)?, What::Code),
        b']' if rest.starts_with("](") => {
            let (from, to) = target(rest)?;
            kept(from, to, What::Target)
        }
        b'[' if rest.starts_with("[^") => kept(0, rest.find(']')? + 1, What::Mark).filter(|it| it.range.len() < 100),
        b'[' if text[..at].is_empty() || text[..at].ends_with('\n') => {
            let label = rest.find(']')? + 2;
            let line = rest.find('\n').unwrap_or(rest.len());
            if label < line && rest.get(..label).is_some_and(|it| it.ends_with("]:")) {
                kept(label, line, What::Mark)
            } else {
                None
            }
        }
        b'<' => kept(0, tag(rest)?, What::Mark),
        b'h' | b'w' | b'H' | b'W' => kept(0, address(rest)?, What::Mark),
        _ => None,
    }
}

/// Bytes of a run of `sign`, what is inside, and the same run again.
fn code(rest: &str, sign: char) -> Option<usize> {
    let run = rest.len() - rest.trim_start_matches(sign).len();
    let mut from = run;
    loop {
        let opens = from + rest[from..].find(sign)?;
        let ends = opens + rest[opens..].len() - rest[opens..].trim_start_matches(sign).len();
        if ends - opens == run {
            return Some(ends);
        }
        from = ends;
    }
}

/// A formula as comrak knows them: no blanks at its insides, no digit behind.
fn formula(rest: &str) -> Option<usize> {
    let end = code(rest, '$')?;
    let run = rest.len() - rest.trim_start_matches('$').len();
    let inside = &rest[run..end - run];
    let loose = inside.starts_with(char::is_whitespace) || inside.ends_with(char::is_whitespace);
    let number = rest[end..].starts_with(|c: char| c.is_ascii_digit());
    (run == 2 || (run == 1 && !loose && !number && !inside.contains('\n'))).then_some(end)
}

/// Of `](target "title")`, where the target is.
fn target(rest: &str) -> Option<(usize, usize)> {
    let from = 2 + rest[2..].len() - rest[2..].trim_start().len();
    if rest[from..].starts_with('<') {
        return Some((from, from + rest[from..].find('>')? + 1));
    }
    let mut depth = 0usize;
    for (at, c) in rest[from..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return (at > 0).then_some((from, from + at)),
            ')' => depth -= 1,
            c if c.is_whitespace() => return rest[from + at..].contains(')').then_some((from, from + at)),
            _ => {}
        }
    }
    None
}

/// `<b>`, `</b>`, `<!-- -->`, `<https://…>`.
fn tag(rest: &str) -> Option<usize> {
    let begins = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
    let end = rest.find('>')?;
    (begins && !rest[..end].contains("\n\n")).then_some(end + 1)
}

fn address(rest: &str) -> Option<usize> {
    let begins = ["https://", "http://", "www."]
        .iter()
        .any(|start| rest.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start)));
    let is_end =
        |c: char| c.is_whitespace() || is_cjk(c) || matches!(c, '<' | '>' | '"' | ')' | ']' | '）' | '，' | '。');
    let end = rest.find(is_end).unwrap_or(rest.len());
    begins.then(|| rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']).len())
}

/// A text with its targets and marks behind short names, to be put back by [`Masked::unmask`].
#[derive(Clone, Debug)]
pub struct Masked {
    pub text: String,
    hidden: Vec<(String, String)>,
    code: Vec<String>,
}

/// Hides what a model need not see. Code stays, because a sentence leans on it.
pub fn mask(text: &str) -> Masked {
    let mut masked = Masked { text: String::with_capacity(text.len()), hidden: Vec::new(), code: Vec::new() };
    let mut last = 0;
    for kept in scan(text) {
        let original = text[kept.range.clone()].to_owned();
        let number = masked.hidden.len() + 1;
        let name = match kept.what {
            What::Target => format!("#{number}"),
            What::Mark => format!("⟦{number}⟧"),
            What::Code => {
                masked.code.push(original);
                continue;
            }
        };
        masked.text.push_str(&text[last..kept.range.start]);
        masked.text.push_str(&name);
        last = kept.range.end;
        masked.hidden.push((name, original));
    }
    masked.text.push_str(&text[last..]);
    masked
}

impl Masked {
    /// What a model made of it, with everything back in its place. None where it lost some of it, or
    /// brought some of its own.
    pub fn unmask(&self, made: &str) -> Option<String> {
        let found = scan(made);
        let inside = |what| found.iter().filter(move |it| it.what == what).map(|it| &made[it.range.clone()]);
        let names = |sign| {
            let mut names: Vec<&str> =
                self.hidden.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with(sign)).collect();
            names.sort_unstable();
            names
        };
        let mut targets: Vec<&str> = inside(What::Target).collect();
        let (mut code, mut known) = (inside(What::Code).collect::<Vec<_>>(), self.code.iter().collect::<Vec<_>>());
        targets.sort_unstable();
        code.sort_unstable();
        known.sort_unstable();
        let marks = names('⟦');
        let one_each = marks.iter().all(|name| made.matches(*name).count() == 1);
        let fits = targets == names('#') && code == known && inside(What::Mark).next().is_none();
        (fits && one_each && made.matches('⟦').count() == marks.len()).then(|| self.put_back(made, &found))
    }

    fn put_back(&self, made: &str, found: &[Kept]) -> String {
        let original = |name: &str| self.hidden.iter().find(|(hidden, _)| hidden == name).map_or("", |(_, it)| it);
        let mut text = String::with_capacity(made.len());
        let mut last = 0;
        for kept in found.iter().filter(|it| it.what == What::Target) {
            text.push_str(&made[last..kept.range.start]);
            text.push_str(original(&made[kept.range.clone()]));
            last = kept.range.end;
        }
        text.push_str(&made[last..]);
        for (name, hidden) in self.hidden.iter().filter(|(name, _)| name.starts_with('⟦')) {
            text = text.replacen(name.as_str(), hidden, 1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        scan(text).into_iter().map(|kept| &text[kept.range]).collect()
    }

    #[test]
    fn what_is_no_prose_is_found() {
        for (text, expected) in [
            ("see [a](https://b.example/c_(d) \"t\") or ![p](x.png)", vec!["https://b.example/c_(d)", "x.png"]),
            ("[a](<b c>) and [r][x]", vec!["<b c>"]),
            ("a `b` and ``c ` d`` and ` e", vec!["`b`", "``c ` d``"]),
            ("- x\n  ```rust\n  fn a() {}\n  ```\n", vec!["```rust\n  fn a() {}\n  ```"]),
            ("it costs $5 and $6, but $x^2$ and $$y$$", vec!["$x^2$", "$$y$$"]),
            ("<b>bold</b> 3 < 4 <https://a.example>", vec!["<b>", "</b>", "<https://a.example>"]),
            ("看https://a.example/墨。www.b.example, where", vec!["https://a.example/", "www.b.example"]),
            ("[x]: https://a.example 't'\ntext[^1]", vec![" https://a.example 't'", "[^1]"]),
            (r"\`not code\` \$1\$", vec![]),
            ("```unclosed", vec![]),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_hidden_comes_back() {
        let masked = mask("Read [the *post*](https://a.example/x) on `ink`, see https://b.example.");
        assert_eq!(masked.text, "Read [the *post*](#1) on `ink`, see ⟦2⟧.");
        let made = masked.unmask("见⟦2⟧，读关于`ink`的[*文章*](#1)。");
        assert_eq!(made.as_deref(), Some("见https://b.example，读关于`ink`的[*文章*](https://a.example/x)。"));
        for lost in [
            "读[文章](#1)，关于`ink`。",
            "读[文章](#1)，关于墨，⟦2⟧。",
            "读[文章](https://evil.example)，`ink`，⟦2⟧。",
            "读[文章](#1)[x](#1)，`ink`，⟦2⟧。",
            "读[文章](#1)，`ink`，⟦2⟧⟦3⟧。",
            "读[文章](#1)，`ink`，⟦2⟧ https://evil.example",
            "读[文章](#1)，`ink`，⟦2⟧<script>",
        ] {
            assert_eq!(masked.unmask(lost), None, "{lost}");
        }
    }

    proptest! {
        #[test]
        fn nothing_made_of_it_changes_it(text in "([a-z墨 ]{0,5}|\\[a\\]\\(|\\)|`{1,3}|\\$|<b>|https://x\\.y|\\[\\^1\\]|\n|\\\\|\\[x\\]: ){0,30}") {
            let masked = mask(&text);
            if let Some(back) = masked.unmask(&masked.text) {
                prop_assert_eq!(back, text);
            }
        }
    }
}
