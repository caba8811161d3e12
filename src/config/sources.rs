//! Gathering what the command line, the environment and the file say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Spanned, Value};

use super::{Config, ConfigError, Given, Setting, Source, default_file};
use nearest::nearest;

mod nearest;

/// What the command line says: settings by name, and which file to read.
#[derive(Clone, Default)]
pub struct Flags {
    pub file: Option<PathBuf>,
    /// Flag as it was typed, name of the setting, value; of two for one setting the later is stronger.
    pub settings: Vec<(String, String, String)>,
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.settings.iter().map(|(flag, ..)| flag).collect();
        f.debug_struct("Flags").field("file", &self.file).field("settings", &names).finish()
    }
}

/// The settings in force, where each came from, and what to warn about.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub given: BTreeMap<&'static str, Given>,
    pub warnings: Vec<String>,
}

/// What the sources said so far.
#[derive(Default)]
struct Gathered {
    given: BTreeMap<&'static str, Given>,
    wrong: Vec<String>,
    warnings: Vec<String>,
}

/// Reads all sources; `env` is the environment, as `std::env::vars_os` gives it.
///
/// Errors: everything that is wrong in any of them, at once.
pub fn load<K: Into<OsString>, V: Into<OsString>>(
    flags: &Flags,
    env: impl Iterator<Item = (K, V)>,
) -> Result<Loaded, ConfigError> {
    let mut gathered = Gathered::default();
    gathered.file(flags.file.as_deref());
    gathered.env(env.map(|(variable, value)| (variable.into(), value.into())));
    gathered.flags(&flags.settings);
    let Gathered { given, mut wrong, warnings } = gathered;
    if given.get("database_url").is_none_or(|given| given.text.is_empty()) && !cfg!(feature = "embedded") {
        wrong.push(
            "database_url is empty, and this build has no embedded database: set DATABASE_URL, or build with the \
             feature `embedded`"
                .into(),
        );
    }
    match Config::from_given(&given) {
        Ok(config) if wrong.is_empty() => Ok(Loaded { config, given, warnings }),
        Ok(_) => Err(ConfigError(wrong)),
        Err(ConfigError(more)) => {
            wrong.extend(more);
            Err(ConfigError(wrong))
        }
    }
}

impl Gathered {
    fn set(&mut self, setting: &Setting, text: String, source: Source) {
        self.given.insert(setting.name, Given { text, source });
    }

    fn flags(&mut self, settings: &[(String, String, String)]) {
        for (flag, name, value) in settings {
            match Setting::find(name) {
                // On its own, `--set` does not say which setting is meant.
                Some(setting) if flag == "--set" => {
                    self.set(setting, value.clone(), Source::Flag(format!("--set {name}")));
                }
                Some(setting) => self.set(setting, value.clone(), Source::Flag(flag.clone())),
                None if name.is_empty() => {
                    self.wrong.push(format!("{flag} needs NAME=VALUE, such as {flag} max_query_depth=20"));
                }
                None => self.wrong.push(unknown(flag, name, str::to_owned)),
            }
        }
    }

    fn env(&mut self, env: impl Iterator<Item = (OsString, OsString)>) {
        for (variable, value) in env {
            // A variable of ours has a name in ASCII.
            let Some(variable) = variable.to_str() else { continue };
            // What clients and tests are told by stands beside the settings of the server.
            if matches!(variable, "INKSTONE_KEY" | "INKSTONE_URL" | "INKSTONE_TEST_MODELS") {
                continue;
            }
            let plain = matches!(variable, "DATABASE_URL" | "REDIS_URL");
            let name = match variable.strip_prefix("INKSTONE_") {
                Some(name) => name.to_lowercase(),
                None if plain => variable.to_lowercase(),
                None => continue,
            };
            let Some(setting) = Setting::find(&name) else {
                let env_name = |near: &str| format!("INKSTONE_{}", near.to_uppercase());
                self.warnings.push(unknown(variable, &name, env_name));
                continue;
            };
            // An INKSTONE_ name says more than the plain one that other programs read as well.
            if plain && self.given.get(setting.name).is_some_and(|g| matches!(&g.source, Source::Env(_))) {
                continue;
            }
            match value.into_string() {
                Ok(text) => self.set(setting, text, Source::Env(variable.to_owned())),
                Err(_) => self.wrong.push(format!("{variable} is not UTF-8: expected {}", setting.expected())),
            }
        }
    }

    fn file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or(default_file());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.wrong.push(format!("{} cannot be read: {error}", path.display())),
        };
        match toml::from_str::<BTreeMap<Spanned<String>, Value>>(&text) {
            Ok(entries) => {
                for (key, value) in entries {
                    self.entry(path, line_at(&text, key.span().start), key.into_inner(), value);
                }
            }
            Err(error) => {
                // Only the message: the error as a whole quotes the line, and a password in it.
                let line = error.span().map_or(1, |span| line_at(&text, span.start));
                self.wrong.push(format!("{}:{line} is not valid TOML: {}", path.display(), error.message()));
            }
        }
    }

    fn entry(&mut self, path: &Path, line: usize, name: String, value: Value) {
        let source = Source::File { path: path.to_owned(), line, name };
        let Source::File { name, .. } = &source else { return };
        let Some(setting) = Setting::find(name) else {
            self.wrong.push(match value {
                Value::Table(_) => {
                    format!("{source} is a section: the settings stand on their own, as in `listen = …`")
                }
                _ => unknown(&format!("{}:{line}", path.display()), name, str::to_owned),
            });
            return;
        };
        let text = match value {
            Value::String(text) => text,
            Value::Array(_) | Value::Table(_) => {
                let found = value.type_str();
                return self.wrong.push(format!("{source} is a TOML {found}: expected {}", setting.expected()));
            }
            other => other.to_string(),
        };
        self.set(setting, text, source);
    }
}

/// The line of this byte, counting from 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

/// That there is no such setting, and which one may be meant, in the spelling of its source.
fn unknown(place: &str, name: &str, spelled: impl Fn(&str) -> String) -> String {
    let hint = match nearest(name) {
        Some(near) => format!("did you mean {}?", spelled(near)),
        None => "`inkstone config` lists all".to_owned(),
    };
    format!("{place}: there is no setting {name:?}; {hint}")
}
