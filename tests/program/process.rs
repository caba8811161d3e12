//! The program as a child process, in a folder of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::database::folder;

/// Longest that the program may take to be ready or to end; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a data directory in it. Nothing of the caller's settings reaches the program.
pub struct Place(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        let place = Self(folder());
        std::fs::create_dir(place.path("tmp")).expect("a folder for temporary files");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("the folder");
        std::fs::write(path, text).expect("the file");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inkstone"));
        for (name, _) in std::env::vars() {
            if name.starts_with("INKSTONE_") || matches!(name.as_str(), "DATABASE_URL" | "REDIS_URL") {
                command.env_remove(name);
            }
        }
        // Models are not what these tests are about.
        command.env("INKSTONE_FETCH_MODELS", "false");
        // One that is killed leaves its temporary files.
        command.env("TMPDIR", self.path("tmp"));
        command.args(arguments).current_dir(self.0.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        finish(&mut self.command(arguments), "")
    }

    /// Runs a command that has to succeed; what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        self.succeed_with(arguments, "")
    }

    /// The same with something to read.
    pub fn succeed_with(&self, arguments: &[&str], stdin: &str) -> String {
        let done = finish(&mut self.command(arguments), stdin);
        assert_eq!(done.code, Some(0), "`inkstone {}` should succeed: {done:#?}", arguments.join(" "));
        done.stdout
    }

    /// Starts the server on a free port and waits until it is ready.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(&mut self.serving(arguments))
    }

    /// The command that [`Place::serve`] runs.
    pub fn serving(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        command
    }
}

/// Runs a command to its end with `stdin` to read.
pub fn finish(command: &mut Command, stdin: &str) -> Done {
    let mut child = Running(command.spawn().expect("the program starts"));
    let mut input = child.0.stdin.take().expect("piped");
    // A command that does not read may have ended before this is written.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    let (stdout, stderr) = (collect(child.0.stdout.take()), collect(child.0.stderr.take()));
    let status = child.ended(PATIENCE).expect("the command should have ended by now");
    Done { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = pipe.expect("piped").read_to_string(&mut text);
        text
    })
}

fn text(collected: std::thread::JoinHandle<String>) -> String {
    collected.join().expect("the reader ends")
}

/// A child that is killed when the test is over, however it ends.
struct Running(Child);

impl Running {
    /// `None` if it still runs after `limit`.
    fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().expect("the child can be asked") {
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server that is ready.
pub struct Server {
    child: Running,
    pub base: String,
    /// What it printed on standard output.
    pub told: String,
    log: Arc<Mutex<String>>,
    http: reqwest::Client,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        Starting::spawn(command).ready()
    }

    /// The address that clients post to.
    pub fn graphql(&self) -> String {
        format!("{}/graphql", self.base)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panicked").clone()
    }

    /// The owner's handle and password, as they were told at the start.
    pub fn owner(&self) -> (String, String) {
        let line = self.told.lines().find(|line| line.starts_with("Sign in as the owner")).expect("a way to sign in");
        let handle = line.split('"').nth(1).expect("a handle in quotes");
        let (_, password) = line.split_once("the password ").unwrap_or_else(|| panic!("no password is told: {line}"));
        (handle.to_owned(), password.trim().to_owned())
    }

    pub async fn sign_in(&self, login: &str, password: &str) -> Value {
        let query = "mutation($input: SignInInput!) {
            signIn(input: $input) { token user { handle role } userErrors { code } }
        }";
        let data = self.data(None, query, json!({ "input": { "login": login, "password": password } })).await;
        data["signIn"].clone()
    }

    /// A session of the owner.
    pub async fn owner_token(&self) -> String {
        let (handle, password) = self.owner();
        let signed_in = self.sign_in(&handle, &password).await;
        assert_eq!(signed_in["user"]["role"], "OWNER", "the password that was told signs the owner in: {signed_in}");
        signed_in["token"].as_str().expect("a token").to_owned()
    }

    /// The whole response; an error if none came.
    pub async fn ask(&self, token: Option<&str>, query: &str, variables: Value) -> Result<Value, reqwest::Error> {
        ask(&self.http, &self.graphql(), token, query, variables).await
    }

    /// The data of a response without errors.
    pub async fn data(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        crate::support::data(self.ask(token, query, variables).await.expect("the server answers"))
    }

    /// How many posts there are for whoever asks.
    pub async fn count_posts(&self, token: Option<&str>) -> u64 {
        let data = self.data(token, "{ posts(first: 1) { totalCount } }", json!({})).await;
        data["posts"]["totalCount"].as_u64().expect("a number")
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub fn stop(mut self, signal: &str) -> Done {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.0.id())]).status();
        assert!(sent.expect("a shell").success(), "the signal is sent");
        let status = self.child.ended(PATIENCE).unwrap_or_else(|| panic!("it should have stopped: {}", self.log()));
        Done { code: status.code(), stdout: self.told.clone(), stderr: self.log() }
    }

    /// SIGKILL: no chance to say goodbye.
    pub fn kill(mut self) {
        self.child.kill();
    }
}

/// Asks a server that may go away; what it has kept of before does not do.
pub async fn ask(
    http: &reqwest::Client,
    graphql: &str,
    token: Option<&str>,
    query: &str,
    variables: Value,
) -> Result<Value, reqwest::Error> {
    let body = json!({ "query": query, "variables": variables });
    let mut request = http.post(graphql).header("cache-control", "no-cache").json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.timeout(Duration::from_secs(30)).send().await?.json().await
}

/// A server that is not ready yet.
pub struct Starting {
    child: Running,
    lines: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Starting {
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = Running(command.spawn().expect("the program starts"));
        let (send, lines) = mpsc::channel();
        let stdout = BufReader::new(child.0.stdout.take().expect("piped"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, written) = (BufReader::new(child.0.stderr.take().expect("piped")), log.clone());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = written.lock().expect("no reader panicked");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, lines, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panicked").clone()
    }

    /// Waits until the log holds `text`.
    pub fn logs(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "the log should say {text:?} by now:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(mut self) {
        self.child.kill();
    }

    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.0.id())]).status();
        assert!(sent.expect("a shell").success(), "the signal is sent");
        self.child.ended(PATIENCE).unwrap_or_else(|| panic!("it should have stopped: {}", self.log())).code()
    }

    pub fn ready(self) -> Server {
        let (mut told, until) = (String::new(), Instant::now() + PATIENCE);
        while !told.contains("Ctrl-C stops it.") {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => told.push_str(&(line + "\n")),
                Err(RecvTimeoutError::Timeout) => panic!("the server should be ready by now:\n{}", self.log()),
                Err(RecvTimeoutError::Disconnected) => panic!("the server ended early:\n{told}{}", self.log()),
            }
        }
        let url = told.lines().find_map(|line| line.trim().strip_prefix("GraphQL")).expect("the address is told");
        let base = url.trim().strip_suffix("/graphql").expect("the address of the API").to_owned();
        Server {
            child: self.child,
            base,
            told,
            log: self.log,
            http: crate::support::client_builder().build().expect("a client"),
        }
    }
}

/// Every file below `dir` with its text.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).expect("a text");
                found.insert(path.strip_prefix(dir).expect("below").to_owned(), text);
            }
        }
    }
    found
}
