//! The entries of a TOML file that is one list, with their lines; a broken one costs no other.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use toml::Spanned;

use super::{Problem, line_of};

/// Broken entries of one file that are told one by one; each costs another reading of the file.
const MAX_BROKEN: usize = 50;

/// An entry, and its line.
pub(super) type Entry<T> = (usize, T);

/// The entries under `[[key]]`, without those that are broken or whose `id` came before, and
/// what is wrong with these.
pub(super) fn parse<T: DeserializeOwned + Serialize>(
    text: &str,
    key: &str,
    id: impl Fn(&T) -> String,
) -> (Vec<Entry<T>>, Vec<Problem>) {
    let (tables, mut problems) = tables::<T>(text, key);
    let mut lines = HashMap::new();
    let (mut at, mut line) = (0, 1);
    let mut kept = Vec::new();
    for entry in tables {
        // Counted on from the last entry: from the top each time is too slow for thousands.
        let start = entry.span().start;
        line += line_of(&text[at..], start - at) - 1;
        at = start;
        let entry = entry.into_inner();
        if has_nul(&entry) {
            problems.push(Problem::at(line, "holds a NUL character; remove it"));
            continue;
        }
        let id = id(&entry);
        match lines.get(&id) {
            Some(first) => {
                problems.push(Problem::at(line, format!("`{id}` stands in line {first} already; remove one")));
            }
            None => {
                lines.insert(id, line);
                kept.push((line, entry));
            }
        }
    }
    (kept, problems)
}

/// True if any text of a value holds a character that the database cannot keep.
pub(super) fn has_nul(value: &impl Serialize) -> bool {
    fn find(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(list) => list.iter().any(find),
            Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || find(value)),
            _ => false,
        }
    }
    serde_json::to_value(value).is_ok_and(|value| find(&value))
}

/// The entries that can be read. One that cannot is blanked out, which keeps the lines and places
/// of the others, and the rest is read again.
fn tables<T: DeserializeOwned>(text: &str, key: &str) -> (Vec<Spanned<T>>, Vec<Problem>) {
    let mut text = text.to_owned();
    let mut problems = Vec::new();
    loop {
        let cause = match toml::from_str::<BTreeMap<String, Vec<Spanned<T>>>>(&text) {
            Ok(mut tables) => {
                let list = tables.remove(key).unwrap_or_default();
                let unknown = |other: &String| Problem {
                    line: line_with(&text, other),
                    message: format!("`{other}` is unknown here; write [[{key}]]"),
                };
                problems.extend(tables.keys().map(unknown));
                return (list, problems);
            }
            Err(cause) => cause,
        };
        let start = cause.span().map(|span| span.start);
        let message = cause.message().replace('\n', ", ");
        problems.push(Problem { line: start.map(|start| line_of(&text, start)), message });
        let broken = start.and_then(|start| entry_at(&text, key, start));
        let Some((from, to)) = broken.filter(|_| problems.len() < MAX_BROKEN) else {
            let message = "nothing of this file is read until that is put right".to_owned();
            problems.push(Problem { line: None, message });
            return (Vec::new(), problems);
        };
        let blank: String = text[from..to].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        text.replace_range(from..to, &blank);
    }
}

/// Where the entry that holds byte `at` begins and ends.
fn entry_at(text: &str, key: &str, at: usize) -> Option<(usize, usize)> {
    let header = format!("[[{key}]]");
    let mut from = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with(&header) {
            if start > at {
                return Some((from?, start));
            }
            from = Some(start);
        }
        start += line.len();
    }
    Some((from?, text.len()))
}

fn line_with(text: &str, key: &str) -> Option<usize> {
    let found = text.lines().position(|line| {
        let rest = line.trim_start().trim_start_matches('[').trim_start_matches(['"', '\'']);
        rest.starts_with(key)
    });
    found.map(|at| at + 1)
}
