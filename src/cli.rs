//! The command line: what can be typed. `main.rs` carries it out.

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
prints all of them with what they mean. With the embedded database only one process can use the
data directory: stop the server before you run another command on it.";

/// The backend of a personal site: a live GraphQL API over Postgres, in one program.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings that have a flag of their own, and the way to set the others.
#[derive(Debug, Args)]
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
    /// Load the demo site, also into a database server
    #[arg(long, global = true, conflicts_with = "empty")]
    demo: bool,
    /// Start without the demo site
    #[arg(long, global = true)]
    empty: bool,
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
    /// Make accounts
    User {
        #[command(subcommand)]
        command: User,
    },
    /// Make API keys
    Key {
        #[command(subcommand)]
        command: Key,
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
    /// Who wrote posts whose author is not a user here; the owner if absent
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
        #[arg(long, conflicts_with = "count")]
        all: bool,
        #[arg(default_value_t = 1)]
        count: u32,
    },
    /// List what has run and what has not
    Status,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an account; the password is read from a line of standard input, or made up and printed
    Create(CreateUser),
    /// Give an account a new password, the same way
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
    #[arg(long)]
    pub email: Option<String>,
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
}

#[derive(Debug, Args)]
pub struct CreateKey {
    /// Whose: the key may do at most what this user may
    #[arg(long, value_name = "HANDLE")]
    pub user: String,
    /// What it is for
    #[arg(long)]
    pub name: String,
    /// Some of read, write, comment, moderate
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

impl Global {
    /// What the flags say about settings.
    pub fn flags(&self) -> Flags {
        let mut settings = Vec::new();
        let mut set =
            |flag: &str, name: &str, value: &str| settings.push((flag.to_owned(), name.to_owned(), value.to_owned()));
        let named = [
            ("--listen", "listen", &self.listen),
            ("--data-dir", "data_dir", &self.data_dir),
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
        for pair in &self.set {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            set("--set", name, value);
        }
        Flags { file: self.config.clone(), settings }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_help_names_every_command() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for name in ["serve", "import", "export", "migrate", "schema", "config", "user", "key", "demo"] {
            assert!(help.contains(name), "the help does not mention {name}");
        }
    }

    #[test]
    fn flags_become_settings() {
        let cli = Cli::parse_from(["inkstone", "--listen", "127.0.0.1:1", "--empty", "--set", "max_query_depth=9"]);
        let settings = cli.global.flags().settings;
        assert_eq!(
            settings.iter().map(|(_, name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
            [("listen", "127.0.0.1:1"), ("demo", "never"), ("max_query_depth", "9")],
        );
    }
}
