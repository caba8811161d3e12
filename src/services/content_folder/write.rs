//! From a post to the text and the path of a file.

use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Document, dates,
    document::normal_body,
    fields::is_known,
    names::{kind_of, language_tag, stable_hash},
};
use crate::services::slug::slugify;

/// Bytes of a file's name without its ending; file systems take 255.
const MAX_NAME_BYTES: usize = 200;

/// Names that Windows keeps for devices, whatever follows the first dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The order of the fields in a file.
#[derive(Serialize)]
struct Front<'a> {
    title: &'a str,
    slug: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_date")]
    date: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_date")]
    updated: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_date")]
    created: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draft: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    series: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series_order: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cover: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    translation_key: &'a Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    verbatim: bool,
    #[serde(flatten)]
    top: Map<String, Value>,
    /// Custom fields whose names would be read as something else at the top.
    #[serde(skip_serializing_if = "Map::is_empty")]
    custom: Map<String, Value>,
}

/// The file of a post: YAML front matter, a blank line, the body.
///
/// `parse(to_markdown(d)) == d` for every `d` that `parse` could have given, and whatever its body;
/// another one comes back with its blanks and slug put in order.
pub fn to_markdown(doc: &Document) -> String {
    let entries = doc.custom.clone().into_iter();
    let (custom, top) = entries.partition(|(key, _)| is_known(key));
    let front = Front {
        title: &doc.title,
        slug: &doc.slug,
        kind: &doc.kind,
        language: &doc.language,
        date: doc.date,
        updated: doc.updated,
        created: doc.created,
        draft: doc.draft,
        status: doc.archived.then_some("archived"),
        tags: &doc.tags,
        series: &doc.series,
        series_order: doc.series_order,
        description: &doc.description,
        cover: &doc.cover,
        author: &doc.author,
        translation_key: &doc.translation_key,
        verbatim: normal_body(&doc.markdown) != doc.markdown,
        top,
        custom,
    };
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&front, options)
        .expect("strings, numbers, lists and string-keyed maps always have a YAML form");
    let body = &doc.markdown;
    let blank = if body.is_empty() { "" } else { "\n" };
    format!("---\n{}\n---\n{blank}{body}{blank}", yaml.trim_end_matches('\n'))
}

/// `content/<language>/<kind>s/<slug>.md`, below whatever folder the caller chose.
///
/// Always relative and without `..`, whatever the document holds: each part is rebuilt from
/// letters, digits, `-` and `_`. `und` stands for an unknown language.
pub fn export_path(doc: &Document) -> PathBuf {
    let language = doc.language.as_deref().and_then(language_tag);
    let kind = doc.kind.as_deref().and_then(kind_of);
    ["content", language.as_deref().unwrap_or("und")]
        .iter()
        .collect::<PathBuf>()
        .join(format!("{}s", kind.unwrap_or("article")))
        .join(format!("{}.md", file_name(doc)))
}

fn file_name(doc: &Document) -> String {
    let slug = match slugify(&doc.slug) {
        slug if slug.is_empty() => slugify(&doc.title),
        slug => slug,
    };
    // A day at the start would be read as the date of a post without one.
    let misread = doc.date.is_none() && dates::leading_day(&slug).is_some();
    if slug.is_empty() || misread || slug == "_index" || is_device(&slug) {
        // Two hyphens, which no slug has: the name of no other post.
        return cut(format!("post--{slug}").trim_end_matches('-'));
    }
    cut(&slug)
}

/// A long name is cut, and told from others with the same beginning by a number of the whole.
fn cut(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    format!("{}-{:08x}", &name[..end], stable_hash(name) as u32)
}

fn is_device(name: &str) -> bool {
    let numbered = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
    DEVICES.contains(&name) || numbered.is_some_and(|rest| rest.chars().count() == 1)
}

fn write_date<S: Serializer>(date: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = date.map(|date| date.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    text.serialize(serializer)
}
