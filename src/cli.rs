//! The command line: what can be typed. `main.rs` carries it out.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::auth::Scope;
use crate::config::Flags;
use crate::store::users::Role;

const EXAMPLES: &str = "\
Examples:
  inkstone                                   start on 127.0.0.1:4000 with the embedded database
  inkstone import ./my-hugo-site/content     bring your Markdown in; run it again after edits
  inkstone user create --handle ann --name Ann --role owner
  inkstone key create --user ann --name ci --scopes read,write --expires-days 90
  inkstone demo remove                       take the demo site out again
  DATABASE_URL=postgres://… inkstone         run on a Postgres server

Settings come from flags, INKSTONE_* variables and inkstone.toml, in this order; `inkstone config`
prints all of them with what they mean, passwords masked. With the embedded database only one
process can use the data directory: stop the server before you run another command on it.";

/// The backend of a personal site: a live GraphQL API over Postgres, in one program.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings that have a flag of their own, and the way to set the others. `Debug` leaves the values
/// out: some are secret.
#[derive(Args)]
pub struct Global {
    /// Read settings from this file instead of ./inkstone.toml
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where to listen, such as 127.0.0.1:4000
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the embedded database lives
    #[arg(long, global = true, value_name = "PATH")]
    data_dir: Option<String>,
    /// The Postgres to use; others can read a command line, so put a password in DATABASE_URL instead
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// The Redis or Valkey for cache and wake-up calls; put a password in REDIS_URL instead
    #[arg(long, global = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Load the demo site, also into a database server
    #[arg(long, global = true, conflicts_with = "empty")]
    demo: bool,
    /// Start without the demo site
    #[arg(long, global = true)]
    empty: bool,
    /// Never ask a hub or a package registry for a model
    #[arg(long, global = true)]
    offline: bool,
    /// Do not fetch models that are missing when the server starts
    #[arg(long, global = true)]
    no_fetch: bool,
    /// What computes the models: auto, cpu or cuda
    #[arg(long, global = true, value_name = "DEVICE")]
    device: Option<String>,
    /// What to log, such as info or debug
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Set any other setting: --set max_query_depth=20
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server (this is also what happens without a command)
    Serve,
    /// Bring a folder of Markdown in: Hugo, Jekyll, Astro, Hexo, Zola, or an export
    Import(Import),
    /// Write the whole site into a folder that `import` reads back
    Export(Export),
    /// Bring the database's schema up to date, or show where it is
    Migrate {
        #[command(subcommand)]
        command: Option<Migrate>,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print the settings in force, where each comes from, and what it means
    Config,
    /// Make, list and change accounts
    User {
        #[command(subcommand)]
        command: User,
    },
    /// Make, list and revoke API keys
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// List, fetch, try and deploy the models that run in this program
    Models {
        #[command(subcommand)]
        command: Models,
    },
    /// Have another model read the whole site for search, and then let it answer
    Reindex {
        /// Such as multilingual-e5-small
        #[arg(long)]
        model: String,
    },
    /// Measure how good search is
    Eval {
        #[command(subcommand)]
        command: Eval,
    },
    /// Take the demo site out again
    Demo {
        #[command(subcommand)]
        command: Demo,
    },
}

#[derive(Debug, Args)]
pub struct Import {
    /// The folder
    pub path: PathBuf,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Who wrote posts whose author is not a user here; if absent the owner, and posts that are here stay whose they are
    #[arg(long, value_name = "HANDLE")]
    pub author: Option<String>,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The folder
    pub path: PathBuf,
    /// Write into a folder that is not empty
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Migrate {
    /// Run every migration that has not run
    Up,
    /// Take migrations back: the last one, or --all. This deletes data
    Down {
        /// Take back every one of them
        #[arg(long, conflicts_with = "count")]
        all: bool,
        /// How many
        #[arg(default_value_t = 1)]
        count: u32,
    },
    /// List what has run and what has not
    Status,
}

#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Search for each query of a file and hold what is found against its judgements
    Retrieval {
        /// Such as examples/retrieval/demo-site.toml
        file: PathBuf,
        /// Also list the queries whose answer did not come first
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models that are known
    List,
    /// Fetch a model's files
    Pull {
        /// Such as multilingual-e5-small, or multilingual-e5-small/q4_0 for one of its variants
        model: String,
    },
    /// Take a model's files away
    Rm {
        /// Which
        model: String,
    },
    /// Load a model and give it a text: a prompt, a text to embed, or a query and texts to rank
    Run {
        /// Which
        model: String,
        /// What to give it
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Measure a model on this machine
    Bench {
        /// Which
        model: String,
    },
    /// Let a model answer for its task from now on; a server that runs follows without a restart
    Deploy {
        /// Which
        model: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account; the password is read from a line of standard input, or made up and printed
    Create(CreateUser),
    /// List all accounts
    List,
    /// Say what an account may do
    SetRole {
        /// Whose
        handle: String,
        /// What they may do from now on
        #[arg(value_enum)]
        role: CliRole,
    },
    /// Give an account a new password, the same way as create; its sessions end
    #[command(visible_alias = "set-password")]
    Password {
        /// Whose
        handle: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Args)]
pub struct CreateUser {
    /// Unique short name: 2 to 40 of a-z, 0-9, - and _
    #[arg(long)]
    pub handle: String,
    /// The name to show; the handle if absent
    #[arg(long)]
    pub name: Option<String>,
    /// Their email address
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// What they may do
    #[arg(long, value_enum, default_value_t = CliRole::Reader)]
    pub role: CliRole,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CliRole {
    Owner,
    Editor,
    Reader,
}

impl From<CliRole> for Role {
    fn from(role: CliRole) -> Self {
        match role {
            CliRole::Owner => Self::Owner,
            CliRole::Editor => Self::Editor,
            CliRole::Reader => Self::Reader,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; it is printed once and cannot be read again
    Create(CreateKey),
    /// List the keys that were not revoked
    List {
        /// Only this user's
        #[arg(long, value_name = "HANDLE")]
        user: Option<String>,
    },
    /// Take a key back: it stops working at once
    Revoke {
        /// Which one, as `key list` shows it
        #[arg(value_name = "ID-OR-NAME")]
        key: String,
        /// Only among this user's
        #[arg(long, value_name = "HANDLE")]
        user: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct CreateKey {
    /// Whose: the key may do at most what this user may
    #[arg(long, value_name = "HANDLE")]
    pub user: String,
    /// What it is for
    #[arg(long)]
    pub name: String,
    /// Some of read, write, comment, moderate, infer
    #[arg(long, value_delimiter = ',', required = true)]
    pub scopes: Vec<Scope>,
    /// Never if absent
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub expires_days: Option<u32>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Demo {
    /// Delete the demo posts with all that hangs on them; whatever you wrote stays
    Remove,
}

impl fmt::Debug for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.flags(), f)
    }
}

impl Global {
    /// What the flags say about settings.
    pub fn flags(&self) -> Flags {
        let mut settings = Vec::new();
        let mut set =
            |flag: &str, name: &str, value: &str| settings.push((flag.to_owned(), name.to_owned(), value.to_owned()));
        let named = [
            ("--listen", "listen", &self.listen),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--database-url", "database_url", &self.database_url),
            ("--redis-url", "redis_url", &self.redis_url),
            ("--device", "device", &self.device),
            ("--log", "log", &self.log),
        ];
        for (flag, name, value) in named {
            if let Some(value) = value {
                set(flag, name, value);
            }
        }
        if self.demo {
            set("--demo", "demo", "always");
        }
        if self.empty {
            set("--empty", "demo", "never");
        }
        if self.offline {
            set("--offline", "offline", "true");
        }
        if self.no_fetch {
            set("--no-fetch", "fetch_models", "false");
        }
        for pair in &self.set {
            let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            match pair.split_once('=').filter(|(name, _)| is_name(name)) {
                Some((name, value)) => set("--set", name, value),
                // Not repeated in the error: it may be a URL with a password.
                None => set("--set", "", ""),
            }
        }
        Flags { file: self.config.clone(), settings }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::{Loaded, load};

    fn typed(words: &[&str]) -> Cli {
        Cli::try_parse_from([&["inkstone"], words].concat()).expect("a valid command line")
    }

    fn loaded(words: &[&str]) -> Result<Loaded, String> {
        load(&typed(words).global.flags(), [("DATABASE_URL", "postgres://db/x")].into_iter())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed_and_its_help_lists_every_command() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        let (_, list) = help.split_once("Commands:").expect("a list of commands");
        let (list, _) = list.split_once("Options:").expect("options after the commands");
        for name in ["serve", "import", "export", "migrate", "schema", "config", "user", "key", "demo"] {
            assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "no {name} in:\n{list}");
        }
        assert!(help.contains("Examples:") && help.contains("INKSTONE_"), "{help}");
    }

    #[test]
    fn everything_that_can_be_typed_is_explained() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no help", command.get_name(), arg.get_id());
            }
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
                check(sub);
            }
        }
        check(&Cli::command());
    }

    #[test]
    fn flags_become_settings_before_and_after_the_command() {
        let urls = ["--database-url", "postgres://db/x", "--redis-url", "redis://r"];
        let cli = typed(
            &[&["--listen", "127.0.0.1:1", "serve", "--empty", "--set", "max_query_depth=9"], &urls[..]].concat(),
        );
        assert!(matches!(cli.command, Some(Command::Serve)));
        let mut settings = cli.global.flags().settings;
        settings.sort();
        let row = |(flag, name, value): (&str, &str, &str)| (flag.to_owned(), name.to_owned(), value.to_owned());
        let expected = [
            ("--database-url", "database_url", "postgres://db/x"),
            ("--empty", "demo", "never"),
            ("--listen", "listen", "127.0.0.1:1"),
            ("--redis-url", "redis_url", "redis://r"),
            ("--set", "max_query_depth", "9"),
        ];
        assert_eq!(settings, expected.map(row));
    }

    #[test]
    fn a_wrong_flag_is_refused_as_it_was_typed() {
        let cases: [(&[&str], &str); 6] = [
            (&["models", "bench", "m", "--device", "gpu"], "--device is \"gpu\": expected auto, cpu or cuda"),
            (&["--listen", "localhost"], "--listen is \"localhost\": expected an address with a port"),
            (&["--set", "max_query_depth=2"], "--set max_query_depth is \"2\": expected a number from 3 to 100"),
            (&["--set", "max_depth=9"], "--set: there is no setting \"max_depth\"; `inkstone config` lists all"),
            (&["--set", "listn=9"], "--set: there is no setting \"listn\"; did you mean listen?"),
            (&["--set", "listen"], "--set needs NAME=VALUE, such as --set max_query_depth=20"),
        ];
        for (words, message) in cases {
            let text = loaded(words).expect_err("this should be refused");
            assert!(text.starts_with(message), "{text}");
        }
        Cli::try_parse_from(["inkstone", "--demo", "--empty"]).expect_err("these contradict each other");
    }

    #[test]
    fn no_secret_of_the_command_line_is_shown() {
        let url = "postgres://me:hunter2@db/x?sslmode=require";
        let cli = typed(&["--database-url", url, "--set", "redis_url=redis://:hunter2@r", "--set", url]);
        let text = loaded(&["--set", url]).expect_err("this should be refused");
        for shown in [format!("{cli:?}"), format!("{:?}", cli.global.flags()), text] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn the_commands_take_what_they_say() {
        let words = "key create --user ann --name ci --scopes read,write --expires-days 90";
        let key = typed(&words.split(' ').collect::<Vec<_>>());
        let Some(Command::Key { command: Key::Create(key) }) = key.command else { panic!("not key create") };
        assert_eq!((key.scopes, key.expires_days), (vec![Scope::Read, Scope::Write], Some(90)));
        let down = typed(&["migrate", "down", "3"]).command;
        assert!(matches!(down, Some(Command::Migrate { command: Some(Migrate::Down { all: false, count: 3 }) })));
        assert!(typed(&[]).command.is_none());
        for wrong in ["migrate down 3 --all", "key create --user ann --name ci", "user create --role king --handle a"] {
            Cli::try_parse_from(format!("inkstone {wrong}").split(' ')).expect_err(wrong);
        }
    }
}
