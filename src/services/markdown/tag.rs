//! Reads HTML tag by tag, once through: what one step gives up on, no later step reads again.
//! Imported by `raw_html` only, whose tests cover it.

/// What follows the end tag of `name`, or nothing if there is none.
pub(super) fn skip_content<'h>(name: &str, html: &'h str) -> &'h str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        let is_it = rest.get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name));
        if is_it {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

/// What stands at a `<`, with the text after it.
pub(super) enum Token<'h> {
    Start(String, Attributes<'h>, &'h str),
    End(String, &'h str),
    /// A comment, doctype, processing instruction or CDATA section.
    Skip(&'h str),
    /// No tag: the `<` is text.
    Text,
    /// A tag without an end: nothing after it can be one.
    Unfinished,
}

impl<'h> Token<'h> {
    /// Reads the token at the start of `html`, which is a `<`.
    pub(super) fn read(html: &'h str) -> Self {
        let after = &html[1..];
        if let Some(comment) = after.strip_prefix("!--") {
            let end = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            return Self::Skip(end);
        }
        if after.starts_with(['!', '?']) {
            return Self::Skip(after.find('>').map_or("", |end| &after[end + 1..]));
        }
        let (is_end, tag) = match after.strip_prefix('/') {
            Some(tag) => (true, tag),
            None => (false, after),
        };
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Self::Text;
        }
        let length = tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '<')).unwrap_or(tag.len());
        let name = tag[..length].to_ascii_lowercase();
        match read_attributes(&tag[length..]) {
            Some((_, rest)) if is_end => Self::End(name, rest),
            Some((attributes, rest)) => Self::Start(name, attributes, rest),
            None => Self::Unfinished,
        }
    }
}

/// Names as written, values with their character references.
pub(super) type Attributes<'h> = Vec<(&'h str, &'h str)>;

/// Attributes up to and including the `>`, and the text after it; `None` if the tag does not end.
fn read_attributes(mut html: &str) -> Option<(Attributes<'_>, &str)> {
    let mut attributes = Vec::new();
    loop {
        html = html.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(rest) = html.strip_prefix('>') {
            return Some((attributes, rest));
        }
        let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=');
        // A name may begin with `=`, as in HTML, so that this always gets on.
        let first = html.chars().next()?.len_utf8();
        let length = first + html[first..].find(is_end)?;
        let name = &html[..length];
        html = html[length..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        let mut value = "";
        if let Some(rest) = html.strip_prefix('=') {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            (value, html) = read_value(rest)?;
        }
        attributes.push((name, value));
    }
}

fn read_value(html: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(rest) = html.strip_prefix(quote) {
            let end = rest.find(quote)?;
            return Some((&rest[..end], &rest[end + 1..]));
        }
    }
    let end = html.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
    Some((&html[..end], &html[end..]))
}
