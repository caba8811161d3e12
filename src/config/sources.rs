//! Gathering what the command line, the environment and the file say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Given, SETTINGS, Setting, Source, default_file};

/// What the command line says: settings by name, and which file to read.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub file: Option<PathBuf>,
    /// Flag as it was typed, name of the setting, value.
    pub settings: Vec<(String, String, String)>,
}

/// The settings in force, where each came from, and what to warn about.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub given: BTreeMap<&'static str, Given>,
    pub warnings: Vec<String>,
}

/// Reads all sources; `env` is the environment.
///
/// Errors: everything that is wrong in any of them, at once.
pub fn load(flags: &Flags, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    let mut given = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    from_file(flags.file.as_deref(), &mut given, &mut wrong);
    from_env(env, &mut given, &mut warnings);
    for (flag, name, value) in &flags.settings {
        match setting(name) {
            Some(known) => {
                given.insert(known.name, Given { text: value.clone(), source: Source::Flag(flag.clone()) });
            }
            None => wrong.push(unknown(flag, name)),
        }
    }
    let checked = Config::from_given(&given);
    match checked {
        Ok(config) => {
            wrong.extend(contradictions(&config, &given));
            if wrong.is_empty() { Ok(Loaded { config, given, warnings }) } else { Err(ConfigError(wrong)) }
        }
        Err(ConfigError(more)) => {
            wrong.extend(more);
            Err(ConfigError(wrong))
        }
    }
}

fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn unknown(place: &str, name: &str) -> String {
    let near = SETTINGS.iter().map(|s| (distance(name, s.name), s.name)).min().filter(|(far, _)| *far <= 4);
    let hint =
        near.map_or_else(|| "`inkstone config` lists all".to_owned(), |(_, near)| format!("did you mean {near}?"));
    format!("{place}: there is no setting {name:?}; {hint}")
}

/// Edits from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

fn from_env(
    env: impl Iterator<Item = (String, String)>,
    given: &mut BTreeMap<&'static str, Given>,
    warnings: &mut Vec<String>,
) {
    for (variable, text) in env {
        let plain = matches!(variable.as_str(), "DATABASE_URL" | "REDIS_URL");
        let name = match variable.strip_prefix("INKSTONE_") {
            Some(name) => name.to_lowercase(),
            None if plain => variable.to_lowercase(),
            None => continue,
        };
        let Some(known) = setting(&name) else {
            warnings.push(unknown(&variable, &name));
            continue;
        };
        // An INKSTONE_ name says more than the plain one that other programs read as well.
        if plain && given.get(known.name).is_some_and(|g| matches!(&g.source, Source::Env(_))) {
            continue;
        }
        given.insert(known.name, Given { text, source: Source::Env(variable) });
    }
}

fn from_file(named: Option<&Path>, given: &mut BTreeMap<&'static str, Given>, wrong: &mut Vec<String>) {
    let path = named.unwrap_or(default_file());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return wrong.push(format!("{} cannot be read: {error}", path.display())),
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return wrong.push(format!("{} is not valid TOML: {error}", path.display())),
    };
    for (name, value) in table {
        let line = line_of(&text, &name);
        let Some(known) = setting(&name) else {
            wrong.push(unknown(&format!("{}:{line}", path.display()), &name));
            continue;
        };
        let text = match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        given.insert(known.name, Given { text, source: Source::File { path: path.to_owned(), line, name } });
    }
}

/// The line that sets `name`, counting from 1.
fn line_of(text: &str, name: &str) -> usize {
    let sets = |line: &str| {
        line.trim_start()
            .trim_start_matches('"')
            .strip_prefix(name)
            .is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with(['=', '.']))
    };
    text.lines().position(sets).map_or(1, |at| at + 1)
}

fn contradictions(config: &Config, given: &BTreeMap<&'static str, Given>) -> Vec<String> {
    let mut wrong = Vec::new();
    let schemes = [
        ("database_url", &config.database_url, ["postgres", "postgresql"]),
        ("redis_url", &config.redis_url, ["redis", "rediss"]),
    ];
    for (name, value, allowed) in schemes {
        let Some(secret) = value else { continue };
        let scheme = secret.expose().split("://").next().unwrap_or_default();
        if !allowed.contains(&scheme)
            && let Some(given) = given.get(name)
        {
            wrong.push(format!("{} begins with {scheme:?}: expected {}://", given.source, allowed.join(":// or ")));
        }
    }
    if config.database_url.is_none() && !cfg!(feature = "embedded") {
        wrong.push("database_url is empty, and this build has no embedded database: set DATABASE_URL, or build with the feature `embedded`".into());
    }
    wrong
}
