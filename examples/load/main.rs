//! Measures a running Inkstone: reads and writes from many connections, and subscribers by the
//! thousand. `docs/LOAD.md` tells how to run it, and what came of it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod process;
mod run;
mod seed;
mod subscribe;

#[derive(Parser)]
#[command(about = "Measures a running Inkstone; see docs/LOAD.md")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill a migrated database: 200 users, 10,000 posts, 100,000 comments, 300,000 reactions
    Seed {
        /// Such as postgres://user@localhost/load; it may hold the demo site
        database_url: String,
        /// Also what search knows of them (100,000 pieces), with vectors of this model's size
        #[arg(long)]
        search: Option<String>,
    },
    /// Ask and write from many connections; one line each: requests, latency, processor time
    Run(run::Options),
    /// Let many subscribers wait for comments, and time their delivery
    Subscribe(subscribe::Options),
}

/// Where the server is, and which processes are its.
#[derive(clap::Args)]
struct Server {
    /// Such as http://127.0.0.1:4000
    url: String,
    /// An API key with the scopes read and comment, for the writes
    #[arg(long, env = "INKSTONE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The server's process, to tell its processor time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// A file that begins with the process of the Postgres server, such as postmaster.pid
    #[arg(long)]
    postgres: Option<PathBuf>,
}

fn main() -> Result<()> {
    // As reqwest wants it of a program, also where all goes over http.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        match cli.command {
            Command::Seed { database_url, search } => seed::seed(&database_url, search.as_deref()).await,
            Command::Run(options) => run::run(options).await,
            Command::Subscribe(options) => subscribe::subscribe(options).await,
        }
    })
}
