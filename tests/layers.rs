//! Imports point down. This reads every path in `src/` that leads into another room or out of
//! the crate, and refuses those that the map in `src/lib.rs` does not allow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use. `telemetry` lies below all of them but `config`.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli", "app", "http", "graphql", "services", "store", "auth", "inference", "config", "telemetry"]),
    ("cli", &["auth", "config", "store"]),
    (
        "app",
        &[
            "http",
            "jobs",
            "graphql",
            "services",
            "store",
            "cache",
            "events",
            "auth",
            "inference",
            "config",
            "demo_site",
            "telemetry",
        ],
    ),
    ("http", &["graphql", "services", "store", "cache", "events", "auth", "inference", "config", "error", "telemetry"]),
    ("jobs", &["services", "store", "cache", "events", "auth", "inference", "config", "telemetry"]),
    ("graphql", &["services", "store", "cache", "events", "auth", "inference", "config", "error", "telemetry"]),
    ("services", &["store", "cache", "events", "auth", "inference", "config", "telemetry"]),
    ("inference", &["config", "telemetry"]),
    ("events", &["store", "config", "telemetry"]),
    ("auth", &["store", "config", "telemetry"]),
    ("store", &["config", "telemetry"]),
    ("cache", &["config", "telemetry"]),
    ("error", &["services", "store", "events", "auth", "inference"]),
    ("config", &[]),
    ("telemetry", &[]),
    ("demo_site", &[]),
    ("lib", &[]),
];

/// Crates that belong to a few rooms, and to which.
const CRATES: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("diesel_migrations", &["store"]),
    ("bb8", &["store"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("oliphaunt_wasix", &["store"]),
    ("fred", &["cache", "events"]),
    ("moka", &["auth", "cache", "graphql", "http", "services"]),
    ("axum", &["http", "app"]),
    ("axum_server", &["http"]),
    ("tower_http", &["http"]),
    ("async_graphql", &["graphql", "http", "error"]),
    ("dataloader", &["graphql"]),
    ("candle_core", &["inference"]),
    ("tokenizers", &["inference"]),
    ("argon2", &["auth"]),
    ("comrak", &["services"]),
    ("ammonia", &["services"]),
    ("syntect", &["services"]),
    ("pinyin", &["services"]),
    ("quick_xml", &["services"]),
    ("clap", &["cli", "main"]),
    ("indicatif", &["main"]),
    ("anyhow", &["main", "app", "jobs"]),
];

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root) {
        let text = std::fs::read_to_string(&path).expect("a source file");
        found.extend(violations(path.strip_prefix(&root).expect("below src"), &text));
    }
    assert!(found.is_empty(), "the import rule of src/lib.rs is broken:\n{}", found.join("\n"));
}

#[test]
fn every_room_has_a_rule_and_every_rule_a_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let there: BTreeSet<String> =
        sources(&root).iter().map(|path| room_of(path.strip_prefix(&root).unwrap())).collect();
    let ruled: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(there, ruled, "ROOMS and src/ should name the same rooms");
}

#[test]
fn what_points_up_or_aside_is_found() {
    for (file, source, says) in [
        ("store/posts.rs", "use crate::services::Services;", "store/posts.rs:1: `store` may not use `services`"),
        ("store/posts.rs", "\n\nfn f() { crate::events::f() }", "store/posts.rs:3: `store` may not use `events`"),
        ("services/x.rs", "pub use crate::http;", "services/x.rs:1: `services` may not use `http`"),
        ("services/x.rs", "use crate::{store::Db, graphql::Post};", "`services` may not use `graphql`"),
        ("services/x.rs", "use crate::{\n    store::{Db, Tx},\n    graphql,\n};", "`services` may not use `graphql`"),
        ("jobs/mod.rs", "use crate::graphql::Post;", "`jobs` may not use `graphql`"),
        ("cache/mod.rs", "use crate::store::Db;", "`cache` may not use `store`"),
        ("auth/mod.rs", "use crate::cache::Cache;", "`auth` may not use `cache`"),
        ("telemetry/mod.rs", "use crate::config::Config;", "`telemetry` may not use `config`"),
        ("config.rs", "use crate::store::Db;", "`config` may not use `store`"),
        ("config.rs", "use super::store::Db;", "`config` may not use `store`"),
        ("store/mod.rs", "use super::services::Services;", "`store` may not use `services`"),
        ("store/a/b.rs", "pub(crate) use super::super::super::services;", "`store` may not use `services`"),
        ("graphql/x.rs", "use diesel::prelude::*;", "graphql/x.rs:1: `graphql` may not use the crate `diesel`"),
        ("graphql/x.rs", "fn f(_: ::axum::Router) {}", "`graphql` may not use the crate `axum`"),
        ("services/x.rs", "use fred::prelude::*;", "`services` may not use the crate `fred`"),
        ("auth/x.rs", "use {std::fmt, tokio_postgres as pg};", "`auth` may not use the crate `tokio_postgres`"),
        ("store/x.rs", "let c = '\"'; let d = crate::http::X; let e = '\"';", "`store` may not use `http`"),
    ] {
        let found = violations(Path::new(file), source);
        assert!(found.len() == 1 && found[0].contains(says), "expected {says:?} for {source:?}: {found:?}");
    }
}

#[test]
fn what_is_allowed_or_no_code_is_left_alone() {
    for (file, source) in [
        (
            "store/posts.rs",
            "//! See crate::services.\n/* crate::http /* diesel:: */ crate::graphql */ use diesel::prelude::*;",
        ),
        (
            "services/x.rs",
            "const A: &str = \"crate::http::X and axum::Y\"; const B: &str = r#\"use crate::\"graphql\"#;",
        ),
        ("services/x.rs", "use crate::{store::{Db, events}, services::graphql};"),
        ("services/x.rs", "use super::graphql; use self::http::X; fn f() { my::diesel::g(); fred_like::h() }"),
        ("http/graphql.rs", "use crate::graphql; use axum::Router; fn f<'a>(_: &'a crate::services::Services) {}"),
        ("main.rs", "use inkstone::{app, services::demo};"),
        ("store/mod.rs", "mod tests {\n    use super::events;\n}"),
    ] {
        assert_eq!(violations(Path::new(file), source), Vec::<String>::new(), "{source:?} is fine");
    }
}

#[test]
fn the_program_is_held_to_the_rule_too() {
    let found = violations(Path::new("main.rs"), "use inkstone::{cache, services::demo};");
    assert_eq!(found, ["main.rs:1: `main` may not use `cache`"]);
}

/// Every Rust file below `dir`, in order.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// The room of a file below `src`: its first folder, or its own name.
fn room_of(file: &Path) -> String {
    let first = file.iter().next().expect("a file below src").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Folders between `src` and the module's parent: how many `super` lead to the crate's root.
fn depth(file: &Path) -> usize {
    file.iter().count() - usize::from(file.file_name().is_some_and(|name| name == "mod.rs"))
}

/// What is wrong with one file, each as `file:line: …`.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let (room, code) = (room_of(file), without_text(source));
    let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("no rule for {room}"));
    let mut found = Vec::new();
    let mut say = |at: usize, what: String| {
        let line = code[..at].matches('\n').count() + 1;
        found.push(format!("{}:{line}: `{room}` may not use {what}", file.display()));
    };
    for (at, used) in rooms_used(&code, depth(file)) {
        let is_room = ROOMS.iter().any(|(name, _)| *name == used);
        if is_room && used != room && !allowed.contains(&used.as_str()) {
            say(at, format!("`{used}`"));
        }
    }
    for (name, rooms) in CRATES {
        if !rooms.contains(&room.as_str()) {
            crate_uses(&code, name).into_iter().for_each(|at| say(at, format!("the crate `{name}`")));
        }
    }
    found
}

/// Where a path leads to a room, and to which: `crate::room`, `crate::{room::…}`, and `use super::…`
/// that reaches the root.
fn rooms_used(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // Only at the left edge: inside a `mod tests { … }` one `super` less counts.
    let to_root = format!("use {}", "super::".repeat(depth));
    let from_edge = |at: usize| {
        let line = code[..at].rfind('\n').map_or(0, |at| at + 1);
        let before = &code[line..at];
        before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
    };
    for start in ["crate::", "inkstone::", to_root.as_str()] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(is_word) || (start == to_root && !from_edge(at)) {
                continue;
            }
            let rest = &code[at + start.len()..];
            let heads = if rest.starts_with('{') { heads(rest) } else { vec![word(rest)] };
            found.extend(heads.into_iter().map(|head| (at, head.to_owned())));
        }
    }
    found
}

/// The first words of the paths in a group: `{a::{b, c}, d}` gives `a` and `d`.
fn heads(group: &str) -> Vec<&str> {
    let (mut depth, mut heads, mut expected) = (0, Vec::new(), false);
    for (at, c) in group.char_indices() {
        match c {
            '{' => {
                depth += 1;
                expected = depth == 1;
            }
            '}' => depth -= 1,
            ',' => expected = depth == 1,
            c if expected && is_word(c) => {
                heads.push(word(&group[at..]));
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

/// Where the crate `name` is named: `name::…`, `use name`, `name` in a group.
fn crate_uses(code: &str, name: &str) -> Vec<usize> {
    let named = |(at, _): (usize, &str)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let alone = !before.ends_with(is_word) && !after.starts_with(is_word);
        let leads = after.starts_with("::") || after.starts_with(" as ") || before.ends_with("use ");
        // `a::name::b` is a module, but `::name::b` is the crate.
        let nested = before.ends_with("::") && before[..before.len() - 2].ends_with(is_word);
        (alone && leads && !nested).then_some(at)
    };
    code.match_indices(name).filter_map(named).collect()
}

fn word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The source with comments and the insides of strings blanked; lines stay where they are.
fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let text = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !code.ends_with(|c| is_word(c) && c != 'b') => raw_string(rest).unwrap_or(0),
            '\'' => character(rest),
            _ => 0,
        };
        let (blank, kept) = if text > 0 { (true, text) } else { (false, first.len_utf8()) };
        let piece = &rest[..kept];
        match blank {
            true => code.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' })),
            false => code.push_str(piece),
        }
        rest = &rest[kept..];
    }
    code
}

/// Bytes of the comment at the start, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of the string at the start.
fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            '"' if at > 0 && !escaped => return at + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Bytes of the raw string at the start, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = inside.find(&format!("\"{}", "#".repeat(hashes)))?;
    Some(2 + hashes + end + 1 + hashes)
}

/// Bytes of the character at the start; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text[1..].char_indices();
    match inside.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(0, |at| 3 + at + 1),
        Some((_, c)) if text[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 0,
    }
}
