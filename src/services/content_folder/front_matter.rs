//! Where a front matter begins and ends, and its fields with their lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Problem,
    fields::{Field, Node, is_known},
    line_of,
    yaml::yaml,
};

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Yaml,
    Toml,
    Json,
    /// Hexo's: the inside of an object, up to `;;;`.
    BareJson,
}

/// Byte ranges of one file.
struct Block {
    format: Format,
    start: usize,
    end: usize,
    body: usize,
}

/// The fields of a file and its body; no fields where it has no front matter.
///
/// `text` has `\n` line ends and no byte order mark. Lines are those of `text`.
pub(super) fn split(text: &str) -> Result<(Vec<Field>, &str), Problem> {
    let Some(block) = locate(text)? else {
        return Ok((Vec::new(), text));
    };
    // Blank lines in front keep the parsers' own line numbers right.
    let source = "\n".repeat(line_of(text, block.start) - 1) + &text[block.start..block.end];
    let fields = match block.format {
        Format::Yaml => yaml(&source),
        Format::Toml => toml(&source),
        Format::Json => json(&source),
        Format::BareJson => json(&format!("{{{source}}}")),
    }?;
    if let Some(field) = fields.iter().find(|field| field.node.has_nul()) {
        let message = format!("`{}` holds a NUL character; remove it", field.key);
        return Err(Problem::at(field.line, message));
    }
    Ok((fields, &text[block.body..]))
}

fn locate(text: &str) -> Result<Option<Block>, Problem> {
    let start = text.len() - text.trim_start_matches([' ', '\t', '\n']).len();
    let (first, rest) = line_at(text, start);
    let (format, fences): (_, &[&str]) = match first {
        "---" => (Format::Yaml, &["---", "..."]),
        "+++" => (Format::Toml, &["+++"]),
        ";;;" => (Format::BareJson, &[";;;"]),
        _ if text[start..].starts_with('{') => return locate_json(text, start),
        _ => return Ok(locate_unopened(text, start)),
    };
    if let Some((end, body)) = find_line(text, rest, |line| fences.contains(&line)) {
        return Ok(Some(Block { format, start: rest, end, body }));
    }
    // A post may begin with a thematic break; then no name follows.
    let (second, _) = line_at(text, rest);
    if format == Format::Yaml && key_of(second).is_none() {
        return Ok(None);
    }
    let message = format!("the front matter is never closed; end it with a line {first}");
    Err(Problem::at(line_of(text, start), message))
}

/// Hexo: the fields stand at the top, and `---` only ends them, or `;;;` after JSON.
///
/// A heading underlined with `---` looks alike, so every line must be one of a front matter,
/// and one of the names must be known.
fn locate_unopened(text: &str, start: usize) -> Option<Block> {
    if text[start..].starts_with('"') {
        let (end, body) = find_line(text, start, |line| line == ";;;")?;
        return Some(Block { format: Format::BareJson, start, end, body });
    }
    key_of(line_at(text, start).0)?;
    let (end, body) = find_line(text, start, |line| line == "---")?;
    let mut known = false;
    for line in text[start..end].lines() {
        let inner = line.starts_with([' ', '\t', '-', '#']);
        match key_of(line) {
            Some(key) => known |= is_known(key),
            None if inner => {}
            None => return None,
        }
    }
    known.then_some(Block { format: Format::Yaml, start, end, body })
}

fn locate_json(text: &str, start: usize) -> Result<Option<Block>, Problem> {
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Map<String, Value>>();
    match values.next() {
        Some(Ok(_)) => {
            let end = start + values.byte_offset();
            Ok(Some(Block { format: Format::Json, start, end, body: end }))
        }
        // A template tag (`{{< figure >}}`, `{% raw %}`) may open a post as well.
        Some(Err(cause)) if text[start + 1..].trim_start().starts_with('"') => {
            let line = line_of(text, start) + cause.line().saturating_sub(1);
            Err(Problem::at(line, format!("the JSON front matter is malformed: {cause}")))
        }
        _ => Ok(None),
    }
}

/// The line at `start` without trailing blanks, and where the next one begins.
fn line_at(text: &str, start: usize) -> (&str, usize) {
    let rest = &text[start..];
    let length = rest.find('\n').unwrap_or(rest.len());
    (rest[..length].trim_end(), (start + length + 1).min(text.len()))
}

/// Where the first such line begins, and where the line after it does.
fn find_line(text: &str, from: usize, wanted: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    let mut start = from;
    while start < text.len() {
        let (line, next) = line_at(text, start);
        if wanted(line) {
            return Some((start, next));
        }
        start = next;
    }
    None
}

/// The name of a `name: value` line.
fn key_of(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(':')?;
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    (named && (value.is_empty() || value.starts_with([' ', '\t']))).then_some(key)
}

fn toml(source: &str) -> Result<Vec<Field>, Problem> {
    type Top = BTreeMap<toml::Spanned<String>, toml::Value>;
    let top: Top = toml::from_str(source).map_err(|cause| Problem {
        line: cause.span().map(|span| line_of(source, span.start)),
        message: format!("the TOML front matter: {}", cause.message()),
    })?;
    let field = |(key, value): (toml::Spanned<String>, toml::Value)| Field {
        line: line_of(source, key.span().start),
        key: key.into_inner(),
        node: toml_node(value),
    };
    Ok(top.into_iter().map(field).collect())
}

fn toml_node(value: toml::Value) -> Node {
    match value {
        toml::Value::String(text) => Node::scalar(text.into()),
        toml::Value::Integer(number) => Node::scalar(number.into()),
        // JSON has no infinity and no NaN; their names say more than null.
        toml::Value::Float(number) if !number.is_finite() => Node::scalar(number.to_string().into()),
        toml::Value::Float(number) => Node::scalar(number.into()),
        toml::Value::Boolean(yes) => Node::scalar(yes.into()),
        toml::Value::Datetime(date) => Node::scalar(date.to_string().into()),
        toml::Value::Array(list) => Node::List(list.into_iter().map(toml_node).collect()),
        toml::Value::Table(table) => Node::Map(table.into_iter().map(|(key, value)| (key, toml_node(value))).collect()),
    }
}

fn json(source: &str) -> Result<Vec<Field>, Problem> {
    let top: Map<String, Value> = serde_json::from_str(source)
        .map_err(|cause| Problem::at(cause.line(), format!("the JSON front matter: {cause}")))?;
    let field = |(key, value)| Field {
        line: line_of(source, source.find(&format!("\"{key}\"")).unwrap_or(0)),
        key,
        node: Node::from_value(value),
    };
    Ok(top.into_iter().map(field).collect())
}
