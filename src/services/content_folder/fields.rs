//! The fields of a front matter, whatever its format, and their types.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Problem, dates, places::Places};

// Names as `normal_name` makes them, the preferred one first.
pub(super) const TITLE: &[&str] = &["title"];
pub(super) const SLUG: &[&str] = &["slug"];
pub(super) const KIND: &[&str] = &["kind"];
pub(super) const LANGUAGE: &[&str] = &["language", "lang", "locale"];
pub(super) const DATE: &[&str] = &["date", "pubdate", "pubdatetime", "publishdate", "publishedat"];
pub(super) const UPDATED: &[&str] =
    &["updated", "lastmod", "lastmodifiedat", "updateddate", "updatedat", "moddatetime", "modified"];
pub(super) const CREATED: &[&str] = &["created", "createdat"];
pub(super) const DRAFT: &[&str] = &["draft"];
pub(super) const PUBLISHED: &[&str] = &["published"];
pub(super) const STATUS: &[&str] = &["status"];
/// A text in the first may hold several tags, in the second only one (Jekyll).
pub(super) const TAGS: &[&str] = &["tags", "categories"];
pub(super) const TAG: &[&str] = &["tag", "category"];
pub(super) const TAXONOMIES: &[&str] = &["taxonomies"];
pub(super) const SERIES: &[&str] = &["series"];
pub(super) const SERIES_ORDER: &[&str] = &["seriesorder", "seriesweight"];
pub(super) const DESCRIPTION: &[&str] = &["description", "summary", "excerpt"];
pub(super) const COVER: &[&str] =
    &["cover", "image", "images", "heroimage", "coverimage", "featuredimage", "thumbnail"];
pub(super) const AUTHOR: &[&str] = &["author", "authors"];
pub(super) const TRANSLATION_KEY: &[&str] = &["translationkey", "langref"];
/// Read for the slug or the kind where the file has neither, and kept as custom fields.
pub(super) const ADDRESS: &[&str] = &["permalink", "url", "path"];
pub(super) const LAYOUT: &[&str] = &["type", "layout"];
/// The body is to be taken to the byte: our own exports say so where it matters.
pub(super) const VERBATIM: &[&str] = &["verbatim"];
/// Custom fields whose names would mean something at the top.
pub(super) const CUSTOM: &[&str] = &["custom"];

const KNOWN: [&[&str]; 23] = [
    TITLE,
    SLUG,
    KIND,
    LANGUAGE,
    DATE,
    UPDATED,
    CREATED,
    DRAFT,
    PUBLISHED,
    STATUS,
    TAGS,
    TAG,
    TAXONOMIES,
    SERIES,
    SERIES_ORDER,
    DESCRIPTION,
    COVER,
    AUTHOR,
    TRANSLATION_KEY,
    ADDRESS,
    LAYOUT,
    VERBATIM,
    CUSTOM,
];

/// A value as the file spells it.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// `text` is the spelling: a tag `3.10` is not the number 3.1.
    Scalar {
        value: Value,
        text: String,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub key: String,
    /// In the file, counted from 1.
    pub line: usize,
    pub node: Node,
}

/// Fields not yet taken; what is left at the end is custom.
pub(super) struct Fields {
    left: Vec<Field>,
    taken: Places,
}

/// `translation_key`, `translationKey` and `Translation-Key` are one name.
pub(super) fn normal_name(key: &str) -> String {
    let letters = key.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a field of this name is more than a custom one.
pub(super) fn is_known(key: &str) -> bool {
    let name = normal_name(key);
    KNOWN.iter().any(|names| names.contains(&name.as_str()))
}

impl Fields {
    pub fn new(fields: Vec<Field>) -> Self {
        Self { left: fields, taken: Places::default() }
    }

    /// The first of these that has a value, removed.
    pub fn take(&mut self, names: &[&'static str]) -> Option<Field> {
        let at = self.position(names)?;
        let field = self.left.remove(at);
        self.note(names.first().copied().unwrap_or_default(), &field.key, field.line);
        Some(field)
    }

    /// Remembers that `name` was read out of the field `key`.
    pub fn note(&mut self, name: &'static str, key: &str, line: usize) {
        self.taken.add(name, key, line);
    }

    /// Puts a field back, to be a custom one.
    pub fn put_back(&mut self, field: Field) {
        self.left.push(field);
    }

    pub fn peek(&self, names: &[&str]) -> Option<&Field> {
        self.position(names).map(|at| &self.left[at])
    }

    fn position(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| {
            let named = |field: &Field| normal_name(&field.key) == *name && !field.node.is_blank();
            self.left.iter().position(named)
        })
    }

    /// What is left, by the names the file gives; returns where the others stood.
    pub fn into_custom(self, custom: &mut Map<String, Value>) -> Places {
        for field in self.left {
            // `cover:` without a value is no cover, not a custom field.
            if !(field.node.is_blank() && is_known(&field.key)) {
                custom.insert(field.key, field.node.into_value());
            }
        }
        self.taken
    }
}

impl Field {
    /// One line of text; `None` when blank.
    pub fn line_text(&self) -> Result<Option<String>, Problem> {
        let text = self.text()?.map(|text| text.replace(char::is_control, " "));
        Ok(text.and_then(|text| some_text(&text)))
    }

    /// Text without the blanks around it; `None` when there is nothing else.
    pub fn text(&self) -> Result<Option<String>, Problem> {
        match &self.node {
            Node::Scalar { text, .. } => Ok(some_text(text)),
            _ => Err(self.expected("text")),
        }
    }

    pub fn boolean(&self) -> Result<bool, Problem> {
        let word = self.node.scalar_text().map(str::to_lowercase);
        match word.as_deref() {
            Some("true" | "yes" | "on") => Ok(true),
            Some("false" | "no" | "off" | "") => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    pub fn integer(&self) -> Result<i32, Problem> {
        let text = self.node.scalar_text();
        text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| self.expected("a whole number"))
    }

    pub fn date(&self) -> Result<DateTime<Utc>, Problem> {
        let text = self.node.scalar_text();
        text.and_then(dates::parse_date).ok_or_else(|| self.expected(dates::EXPECTED))
    }

    /// The names in a list of any depth; `split` says how one text becomes several.
    pub fn names(&self, split: fn(&str) -> Vec<&str>) -> Result<Vec<String>, Problem> {
        let mut names = Vec::new();
        match &self.node {
            Node::Scalar { text, .. } => names.extend(split(text).into_iter().filter_map(some_text)),
            node => self.collect_names(node, &mut names)?,
        }
        Ok(names)
    }

    fn collect_names(&self, node: &Node, names: &mut Vec<String>) -> Result<(), Problem> {
        match node {
            Node::Scalar { text, .. } => names.extend(some_text(text)),
            Node::List(list) => {
                for inner in list {
                    self.collect_names(inner, names)?;
                }
            }
            Node::Map(_) => return Err(self.expected("a list of names")),
        }
        Ok(())
    }

    /// The one text a richer value comes down to (`cover: {image: a.png, alt: …}`, `authors:
    /// [a, b]`), and whether that is all it said.
    pub fn main_text(&self) -> (Option<String>, bool) {
        match &self.node {
            Node::List(list) => (list.first().and_then(Node::main_text), list.len() == 1),
            node => (node.main_text(), matches!(node, Node::Scalar { .. })),
        }
    }

    pub fn expected(&self, what: &str) -> Problem {
        let found = match &self.node {
            Node::List(_) => "a list".to_owned(),
            Node::Map(_) => "a map".to_owned(),
            Node::Scalar { text, .. } => format!("`{}`", text.chars().take(60).collect::<String>()),
        };
        Problem::at(self.line, format!("`{}` must be {what}, found {found}", self.key))
    }
}

impl Node {
    pub fn scalar(value: Value) -> Self {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Self::Scalar { value, text }
    }

    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Array(list) => Self::List(list.into_iter().map(Self::from_value).collect()),
            Value::Object(map) => {
                Self::Map(map.into_iter().map(|(key, value)| (key, Self::from_value(value))).collect())
            }
            scalar => Self::scalar(scalar),
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::Scalar { value, .. } => value,
            Self::List(list) => list.into_iter().map(Self::into_value).collect(),
            Self::Map(map) => map.into_iter().map(|(key, node)| (key, node.into_value())).collect(),
        }
    }

    /// Written without a value, or with an empty one, as content editors do.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Scalar { value: Value::Null, .. } => true,
            Self::Scalar { value: Value::String(text), .. } => text.trim().is_empty(),
            _ => false,
        }
    }

    pub fn has_nul(&self) -> bool {
        match self {
            Self::Scalar { text, .. } => text.contains('\0'),
            Self::List(list) => list.iter().any(Self::has_nul),
            Self::Map(map) => map.iter().any(|(key, node)| key.contains('\0') || node.has_nul()),
        }
    }

    fn scalar_text(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    fn main_text(&self) -> Option<String> {
        match self {
            Self::Scalar { value: Value::Bool(_), .. } | Self::List(_) => None,
            Self::Scalar { text, .. } => some_text(text),
            Self::Map(map) => ["name", "title", "path", "image", "url", "src"]
                .iter()
                .find_map(|name| map.iter().find(|(key, _)| key == name))
                .and_then(|(_, node)| node.scalar_text().and_then(some_text)),
        }
    }
}

fn some_text(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
