//! Every setting, with its default and what it accepts beside it.
//!
//! A setting has one name, in three spellings: `listen` in `inkstone.toml`, `INKSTONE_LISTEN` in
//! the environment, `--set listen=…` on the command line (the common ones have a flag of their
//! own). The command line is stronger than the environment, which is stronger than the file.
//! `DATABASE_URL` and `REDIS_URL` are understood without the prefix, as is usual.
//! The lowest room: imports nothing, may be imported by all.
//!
//! To add one: a line in `settings!`, and a type that implements [`Parse`] if there is none yet.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod mask;
mod sources;
mod types;

pub use mask::Secret;
pub use sources::{Flags, Loaded, load};
pub use types::{CommentModeration, LogFormat, Parse, SignUp, Url};

/// One setting, as it is declared.
pub struct Setting {
    pub name: &'static str,
    pub doc: &'static str,
    pub default: &'static str,
    /// What a value has to be, for the error message.
    pub expected: &'static str,
}

/// A value that a source gave, and where.
#[derive(Clone, Debug)]
pub struct Given {
    pub text: String,
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Flag(String),
    Env(String),
    File { path: PathBuf, line: usize, name: String },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Env(name) => f.write_str(name),
            Self::File { path, line, name } => write!(f, "{name} ({}:{line})", path.display()),
        }
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $default:literal, $expected:literal;)+) => {
        /// The settings of one process.
        #[derive(Clone, Debug)]
        pub struct Config { $($(#[doc = $doc])+ pub $name: $ty),+ }

        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            doc: concat!($($doc),+),
            default: $default,
            expected: $expected,
        }),+];

        impl Config {
            /// The defaults with `given` over them.
            ///
            /// Errors: every value that cannot be read, with where it was given and what it
            /// has to be.
            pub fn from_given(given: &BTreeMap<&'static str, Given>) -> Result<Self, ConfigError> {
                let mut wrong = Vec::new();
                $(let $name = read::<$ty>(stringify!($name), $default, $expected, given, &mut wrong);)+
                match ($($name,)+) {
                    ($(Some($name),)+) if wrong.is_empty() => Ok(Self { $($name),+ }),
                    _ => Err(ConfigError(wrong)),
                }
            }

            /// The values that are in force, as text that can be shown: secrets are masked.
            pub fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.show())),+]
            }
        }
    };
}

settings! {
    /// Where to listen.
    listen: SocketAddr = "127.0.0.1:4000", "an address with a port, such as 127.0.0.1:4000 or 0.0.0.0:80";
    /// The address of the site for its readers; cookies are marked Secure when it is https.
    public_url: Option<Url> = "", "an http or https URL without a path, such as https://example.org";
    /// Where the embedded database and the files live.
    data_dir: PathBuf = "./data", "a path";
    /// The Postgres to use, 15 or newer with pgvector; empty: the embedded one.
    database_url: Option<Secret> = "", "a URL such as postgres://user:password@host:5432/name";
    /// Most connections to Postgres.
    database_pool_size: Bounded<1, 200> = "10", "a number from 1 to 200";
    /// How long a request waits for a connection, in milliseconds.
    database_acquire_timeout_ms: Bounded<100, 60_000> = "3000", "milliseconds from 100 to 60000";
    /// How long Postgres works on one statement, in milliseconds.
    database_statement_timeout_ms: Bounded<100, 600_000> = "10000", "milliseconds from 100 to 600000";
    /// The Redis, Valkey or Upstash for cache and wake-up calls; empty: none, all in process.
    redis_url: Option<Secret> = "", "a URL such as redis://host:6379 or rediss://user:password@host:6379";
    /// What this site's keys in Redis begin with, if several sites share one.
    redis_namespace: String = "inkstone", "a word";
    /// Load the demo site: `auto` does so into an empty embedded database.
    demo: Demo = "auto", "auto, always or never";
    /// Memory for cached rows, in MiB.
    cache_capacity_mb: Bounded<1, 65_536> = "64", "MiB from 1 to 65536";
    /// Longest that a replica may serve a cached row after another changed it unseen, in seconds.
    cache_ttl_seconds: Bounded<1, 86_400> = "60", "seconds from 1 to 86400";
    /// How long a sign-in lasts, in days.
    session_ttl_days: Bounded<1, 3650> = "30", "days from 1 to 3650";
    /// Whether readers can make accounts.
    sign_up: SignUp = "open", "open or closed";
    /// Which comments wait for an editor: `first` means those of readers who never had one approved.
    comment_moderation: CommentModeration = "first", "all, first or none";
    /// How long one GraphQL operation may take, in milliseconds; subscriptions are exempt.
    query_timeout_ms: Bounded<100, 600_000> = "10000", "milliseconds from 100 to 600000";
    /// How deep a GraphQL operation may nest.
    max_query_depth: Bounded<3, 100> = "15", "a number from 3 to 100";
    /// How much a GraphQL operation may ask for; a connection counts its fields once a row.
    max_query_complexity: Bounded<100, 10_000_000> = "50000", "a number from 100 to 10000000";
    /// Largest request body, in bytes.
    max_body_bytes: Bounded<1024, 104_857_600> = "2097152", "bytes from 1024 to 104857600";
    /// Most connections that subscribe at the same time.
    max_subscribers: Bounded<1, 1_000_000> = "10000", "a number from 1 to 1000000";
    /// Most subscriptions on one WebSocket.
    max_subscriptions_per_socket: Bounded<1, 10_000> = "50", "a number from 1 to 10000";
    /// How long running requests may take to finish when the server stops, in milliseconds.
    shutdown_grace_ms: Bounded<0, 600_000> = "10000", "milliseconds from 0 to 600000";
    /// Tell the number of SQL statements of each request in a `Server-Timing` header.
    statement_counts: bool = "false", "true or false";
    /// What to log, in the syntax of tracing's EnvFilter.
    log: String = "info,tokio_postgres=warn,fred=error", "a filter such as info or info,inkstone::store=debug";
    /// How to log: `auto` is text on a terminal, JSON elsewhere.
    log_format: LogFormat = "auto", "auto, text or json";
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    pub fn get(self) -> u64 {
        self.0
    }

    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As milliseconds.
    pub fn millis(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> Parse for Bounded<MIN, MAX> {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (MIN..=MAX).contains(n)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// When the demo site is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    Auto,
    Always,
    Never,
}

types::words!(Demo { Auto = "auto", Always = "always", Never = "never" });

impl Default for Config {
    fn default() -> Self {
        Self::from_given(&BTreeMap::new()).expect("the defaults are valid; a test reads them all")
    }
}

fn read<T: Parse>(
    name: &'static str,
    default: &str,
    expected: &str,
    given: &BTreeMap<&'static str, Given>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    let Some(Given { text, source }) = given.get(name) else { return T::parse(default) };
    let value = T::parse(text);
    if value.is_none() {
        wrong.push(format!("{source} is {:?}: expected {expected}", mask::value(name, text)));
    }
    value
}

/// The text of `inkstone config`: a valid `inkstone.toml` that says where each value came from.
pub fn print_effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    for ((name, value), setting) in loaded.config.shown().into_iter().zip(SETTINGS) {
        let source = loaded.given.get(name).map_or_else(|| "default".to_owned(), |given| given.source.to_string());
        out.push_str(&format!("#{}\n{name} = {} # {source}\n\n", setting.doc, types::toml_text(&value)));
    }
    out
}

/// The path of the settings file that is read when none is named.
pub fn default_file() -> &'static Path {
    Path::new("inkstone.toml")
}

#[cfg(test)]
mod tests;
