//! YAML with the line and the spelling of each value, within limits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{
    Problem,
    fields::{Field, Node},
};

/// Limits that no honest front matter of [`super::MAX_FILE_BYTES`] meets. Replayed aliases count
/// in all of them, so a few lines cannot grow into gigabytes.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 100_000,
            max_depth: 64,
            max_documents: 1,
            max_total_scalar_bytes: 4 * super::MAX_FILE_BYTES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 * super::MAX_FILE_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        // `title: No` is a title, and a post number `007` stays as it is.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
    }
}

/// The fields of `source`, in its order.
pub(super) fn yaml(source: &str) -> Result<Vec<Field>, Problem> {
    let top: YamlTop = serde_saphyr::from_str_with_options(source, yaml_options()).map_err(|cause| {
        let plain = serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off };
        Problem {
            // What is wrong with the whole has no place of its own: its first line.
            line: Some(
                cause
                    .location()
                    .map_or(1 + source.len() - source.trim_start_matches('\n').len(), |at| at.line() as usize),
            ),
            message: format!("the YAML front matter: {}", plainly(&cause.render_with_options(plain))),
        }
    })?;
    let field = |(key, value): (Spanned<String>, Spanned<Yaml>)| Field {
        key: key.value,
        line: key.referenced.line() as usize,
        node: value.value.into_node(source, &value.defined),
    };
    Ok(top.0.into_iter().map(field).collect())
}

/// Without the library's advice to programmers.
fn plainly(message: &str) -> String {
    match message.split_once(", set DuplicateKeyPolicy in Options if acceptable") {
        Some((what, place)) => format!("{what} stands there twice{place}"),
        None => message.to_owned(),
    }
}

struct YamlTop(Vec<(Spanned<String>, Spanned<Yaml>)>);

enum Yaml {
    Scalar(Value),
    List(Vec<Spanned<Yaml>>),
    Map(Vec<(String, Spanned<Yaml>)>),
}

impl Yaml {
    fn into_node(self, source: &str, at: &serde_saphyr::Location) -> Node {
        match self {
            Self::Scalar(value) => spelled(value, source, at),
            Self::List(list) => {
                Node::List(list.into_iter().map(|inner| inner.value.into_node(source, &inner.defined)).collect())
            }
            Self::Map(map) => Node::Map(
                map.into_iter().map(|(key, inner)| (key, inner.value.into_node(source, &inner.defined))).collect(),
            ),
        }
    }
}

fn spelled(value: Value, source: &str, at: &serde_saphyr::Location) -> Node {
    if !value.is_number() {
        return Node::scalar(value);
    }
    let span = at.span();
    let spelling = span
        .byte_offset()
        .zip(span.byte_len())
        .and_then(|(from, length)| source.get(from as usize..(from + length) as usize))
        .map(str::trim)
        .filter(|text| text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')));
    match spelling {
        Some(text) => Node::Scalar { text: text.to_owned(), value },
        None => Node::scalar(value),
    }
}

impl<'de> Deserialize<'de> for YamlTop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = YamlTop;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines of the form `name: value`")
    }

    fn visit_unit<E>(self) -> Result<YamlTop, E> {
        Ok(YamlTop(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<YamlTop, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(YamlTop(fields))
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(yes.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    // Wider than a JSON number holds exactly.
    fn visit_i128<E>(self, number: i128) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.to_string().into()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.to_string().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(inner) = seq.next_element()? {
            list.push(inner);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Yaml::Map(entries))
    }
}
