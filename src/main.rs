//! The command line, carried out.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::Utc;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use inkstone::app::{self, App, models, owner, people};
use inkstone::cli::{self, Cli, Command};
use inkstone::config::{self, LogFormat};
use inkstone::inference::{Deployed, Removed};
use inkstone::services::accounts::{self, NewAccount};
use inkstone::services::importing::{self, ImportOptions};
use inkstone::services::{Actor, demo, exporting, profiles};
use inkstone::store::migrations;
use inkstone::{graphql, http, telemetry};
use tokio_util::sync::CancellationToken;

// glibc's allocator gives pages back at every chance, which costs more than it saves here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a command that is run once waits for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    use_small_pages();
    let cli = Cli::parse();
    let done =
        app::runtime().context("the runtime could not be started").and_then(|runtime| runtime.block_on(run(cli)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inkstone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The allocator asks for huge pages, of which a start takes 20 MB that nobody uses. Models are not slower without.
#[cfg(target_os = "linux")]
fn use_small_pages() {
    // A kernel that does not know the call has none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
fn use_small_pages() {}

async fn run(cli: Cli) -> Result<()> {
    let loaded = config::load(&cli.global.flags(), std::env::vars_os())?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Schema => Ok(std::io::stdout().write_all(graphql::sdl().as_bytes())?),
        Command::Config => {
            for warning in &loaded.warnings {
                eprintln!("inkstone: {warning}");
            }
            Ok(std::io::stdout().write_all(config::print_effective(&loaded).as_bytes())?)
        }
        command => {
            let json = match loaded.config.log_format {
                LogFormat::Json => true,
                LogFormat::Text => false,
                LogFormat::Auto => !std::io::stderr().is_terminal(),
            };
            // A command talks on standard output; only a server's life is worth a log by default.
            let quiet = !matches!(command, Command::Serve) && !loaded.given.contains_key("log");
            let filter = if quiet { "warn,fred=error" } else { &loaded.config.log };
            let telemetry = telemetry::init(filter, json)?;
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            on_the_database(command, loaded.config, telemetry).await
        }
    }
}

async fn on_the_database(command: Command, config: config::Config, telemetry: telemetry::Telemetry) -> Result<()> {
    if let Command::Models { command } = command {
        return on_models(command, &config).await;
    }
    if let Command::Migrate { command } = command {
        return migrate(command.unwrap_or(cli::Migrate::Up), App::connect(config, Some(PATIENCE)).await?).await;
    }
    if let Command::Serve = command {
        return serve(config, telemetry).await;
    }
    let app = App::open(config, Some(PATIENCE)).await?;
    let done = match command {
        Command::Import(what) => import(&app, &what).await,
        Command::Export(what) => export(&app, &what).await,
        Command::User { command } => user(&app, command).await,
        Command::Key { command } => key(&app, command).await,
        Command::Demo { command: cli::Demo::Remove } => remove_demo(&app).await,
        Command::Reindex { model } => reindex(&app, &model).await,
        Command::Eval { command: cli::Eval::Retrieval { file, all } } => evaluate(&app, &file, all).await,
        Command::Serve | Command::Migrate { .. } | Command::Models { .. } | Command::Schema | Command::Config => Ok(()),
    };
    app.close().await?;
    done
}

async fn on_models(command: cli::Models, config: &config::Config) -> Result<()> {
    let engine = models::engine(config)?;
    match command {
        cli::Models::List => print!("{}", models::list(&engine)),
        cli::Models::Pull { model } => {
            let (bar, progress) = bar("{bytes}/{total_bytes} {bytes_per_sec}")?;
            let name = models::pull(&engine, &model, progress).await?;
            bar.finish_and_clear();
            println!("{name} is here.");
        }
        cli::Models::Rm { model } => {
            let Removed { name, was_here, was_deployed } = engine.remove(&model)?;
            println!("{name} {}.", if was_here { "is gone" } else { "was not here" });
            if was_deployed {
                println!(
                    "It was deployed: the first model of its task that can be had answers instead, in a running \
                     server when this one has left the memory."
                );
            }
        }
        cli::Models::Run { model, text } => models::run(&engine, &model, &text, &mut std::io::stdout()).await?,
        cli::Models::Bench { model } => print!("{}", models::bench(&engine, &model).await?),
        cli::Models::Deploy { model } => {
            let Deployed { name, is_here } = engine.deploy(&model)?;
            match is_here {
                true => println!("{name} answers from now on, as soon as it is ready."),
                false => println!(
                    "{name} is the choice from now on. It is not here: a server fetches it, and until it can be had \
                     another may answer. `inkstone models pull {name}` shows whether it can."
                ),
            }
        }
    }
    Ok(())
}

async fn serve(config: config::Config, telemetry: telemetry::Telemetry) -> Result<()> {
    let stop = stop_signal()?;
    let scheme = if app::serves_https(&config)? { "https" } else { "http" };
    // First of all, so that a port that is taken is told before anything is changed.
    let listener = http::server::listen(config.listen).with_context(|| {
        format!("cannot listen on {}: is another program there? Choose another address with --listen", config.listen)
    })?;
    let address = listener.local_addr()?;
    let opening = async {
        let app = App::open(config, None).await?;
        let welcome = app.welcome().await?;
        anyhow::Ok((app, welcome))
    };
    let (app, welcome) = tokio::select! {
        opened = opening => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let base = format!("{scheme}://{address}");
    let public =
        app.config.public_url.as_ref().map(|url| format!("  Public     {}\n", url.as_str())).unwrap_or_default();
    println!(
        "Inkstone is ready.\n\n  Explorer   {base}/\n  Demo page  {base}/demo\n  GraphQL    {base}/graphql\n  SSE        {base}/graphql/stream\n  Metrics    {base}/metrics\n{public}\n{welcome}\nCtrl-C stops it."
    );
    app.serve(listener, telemetry, stop).await
}

/// Cancelled by Ctrl-C and by SIGTERM.
fn stop_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        told.cancel();
    });
    Ok(stop)
}

async fn migrate(command: cli::Migrate, app: App) -> Result<()> {
    let db = &app.services.db;
    match command {
        cli::Migrate::Up => println!("ran {:?}", migrations::run_pending(db).await?),
        cli::Migrate::Down { all, count } => {
            println!("took back {:?}", migrations::revert(db, (!all).then_some(count)).await?)
        }
        cli::Migrate::Status => {
            let (applied, pending) = migrations::status(db).await?;
            println!("applied {applied:?}\npending {pending:?}");
        }
    }
    app.close().await
}

async fn import(app: &App, what: &cli::Import) -> Result<()> {
    let author = match &what.author {
        None => app.owner().await?,
        Some(handle) => people::find(&app.services, handle).await?,
    };
    let (dry_run, reassign) = (what.dry_run, what.author.is_some());
    let options = ImportOptions { dry_run, author, reassign, demo: false, now: Utc::now() };
    let (bar, progress) = bar("{pos}/{len} files {elapsed}")?;
    let progress = |done: usize, total: usize| progress(done as u64, total as u64);
    let report = importing::import(&app.services, &what.path, &options, progress).await?;
    bar.finish_and_clear();
    for problem in &report.problems {
        eprintln!("{problem}");
    }
    let verb = if what.dry_run { "would be " } else { "" };
    println!(
        "{} posts {verb}created, {} {verb}updated, {} unchanged; {} new comments, {} reactions, {} users, {} tags, {} \
         series, {} entities{}; {} problems",
        report.created,
        report.updated,
        report.unchanged,
        report.comments,
        report.reactions,
        report.users,
        report.tags,
        report.series,
        report.entities,
        if report.site { ", the site's description" } else { "" },
        report.problems.len()
    );
    if report.problems.is_empty() {
        Ok(())
    } else {
        bail!("{} files or entries were left out, as listed above", report.problems.len())
    }
}

async fn export(app: &App, what: &cli::Export) -> Result<()> {
    let report = exporting::export(&app.services, &what.path, what.force).await?;
    println!("{} posts and {} comments are in {}", report.posts, report.comments, what.path.display());
    Ok(())
}

async fn user(app: &App, command: cli::User) -> Result<()> {
    match command {
        cli::User::Create(what) => {
            let (password, made_up) = password(what.password_stdin)?;
            let name = what.name.unwrap_or_else(|| what.handle.clone());
            let account = NewAccount { handle: what.handle, name, email: what.email, password: password.clone() };
            let actor = Actor::unnamed(Utc::now());
            let user = accounts::create_user(&app.services, &actor, account, what.role.into()).await?;
            println!("The account {:?} is there ({}).", user.handle, user.role.as_str().to_lowercase());
            tell(&password, made_up);
        }
        cli::User::Password { handle, password_stdin } => {
            let user = people::find(&app.services, &handle).await?;
            let (password, made_up) = password(password_stdin)?;
            profiles::set_password(&app.services, user.id, password.clone(), Utc::now()).await?;
            println!("The account {:?} has a new password; its sessions have ended.", user.handle);
            tell(&password, made_up);
        }
        cli::User::List => print!("{}", people::list(&app.services).await?),
        cli::User::SetRole { handle, role } => {
            let user = people::set_role(&app.services, &handle, role.into()).await?;
            println!("The account {:?} has the role {} now.", user.handle, user.role.as_str().to_lowercase());
        }
    }
    Ok(())
}

/// The password, and whether it was made up.
fn password(from_stdin: bool) -> Result<(String, bool)> {
    if !from_stdin {
        return Ok((owner::random_password(), true));
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the password could not be read from standard input")?;
    Ok((line.trim_end_matches(['\r', '\n']).to_owned(), false))
}

fn tell(password: &str, made_up: bool) {
    if made_up {
        println!("Its password is {password}");
    }
}

async fn key(app: &App, command: cli::Key) -> Result<()> {
    match command {
        cli::Key::Create(what) => create_key(app, what).await?,
        cli::Key::List { user } => print!("{}", people::list_keys(&app.services, user.as_deref()).await?),
        cli::Key::Revoke { key, user } => {
            let key = people::revoke_key(&app.services, &key, user.as_deref()).await?;
            println!("The API key {:?} (…{}) is revoked.", key.name, key.hint);
        }
    }
    Ok(())
}

async fn create_key(app: &App, what: cli::CreateKey) -> Result<()> {
    let user = people::find(&app.services, &what.user).await?;
    let now = Utc::now();
    let expires_at = what.expires_days.map(|days| now + chrono::Duration::days(days.into()));
    let actor = Actor::unnamed(now);
    let key = accounts::create_key(&app.services, &actor, user.id, what.name, &what.scopes, expires_at).await?;
    println!("{}", key.expose());
    eprintln!("Keep it now: it cannot be read again. Send it as `Authorization: Bearer …`.");
    Ok(())
}

/// A bar that shows how far something is, and what tells it: how much is done, and of how much.
fn bar(figures: &str) -> Result<(ProgressBar, impl Fn(u64, u64) + Send + Sync + use<>)> {
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {figures}"))?;
    let bar = ProgressBar::new(0).with_style(style);
    let shown = bar.clone();
    let progress = move |done, of| {
        shown.set_length(of);
        shown.set_position(done);
    };
    Ok((bar, progress))
}

async fn reindex(app: &App, model: &str) -> Result<()> {
    let (bar, progress) = bar("{pos}/{len} pieces {elapsed}")?;
    let name = app.reindex(model, progress).await?;
    bar.finish_and_clear();
    println!("{name} has read the site, and answers from now on.");
    Ok(())
}

async fn evaluate(app: &App, file: &Path, all: bool) -> Result<()> {
    let judgements = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (bar, progress) = bar("{pos}/{len} queries {elapsed}")?;
    let table = app.evaluate_retrieval(&judgements, all, progress).await;
    bar.finish_and_clear();
    print!("{}", table.with_context(|| format!("search could not be measured with {}", file.display()))?);
    Ok(())
}

async fn remove_demo(app: &App) -> Result<()> {
    let removed = demo::remove(&app.services, Utc::now()).await?;
    println!("{} demo posts and {} demo users are gone.", removed.posts, removed.users);
    for (user, why) in &removed.stay {
        let why = match why {
            demo::Stays::OnlyOwner => {
                "because a site has an owner: make yourself one with `inkstone user create --role owner --handle NAME`, \
                 then run this again"
            }
            demo::Stays::HasWritten => {
                "because a post or a comment of theirs is not of the demo: delete it, then run this again"
            }
        };
        println!("{} ({}) stays, {why}.", user.handle, user.name);
    }
    Ok(())
}
