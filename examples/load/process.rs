//! What the kernel knows of processes: processor time, memory, open files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Server;

/// Parts of a second that the kernel counts in (`getconf CLK_TCK`; the same on all Linux that runs
/// this program).
const TICKS_PER_SECOND: f64 = 100.0;

/// As many open files as are allowed: each subscriber is one.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of open files stays where it is: {error}");
    }
}

/// The processor seconds of the server and of Postgres so far; `None` where nobody said which
/// processes these are.
pub fn processor_seconds(server: &Server) -> Result<Option<(f64, f64)>> {
    let Some(pid) = server.pid else { return Ok(None) };
    let own = own_seconds(pid, false)?;
    let Some(file) = &server.postgres else { return Ok(Some((own, 0.0))) };
    let postmaster = first_line(file)?;
    let mut postgres = own_seconds(postmaster, true)?;
    let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
    for child in children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        // One that ends meanwhile is counted with the postmaster from then on.
        postgres += own_seconds(child, false).unwrap_or(0.0);
    }
    Ok(Some((own, postgres)))
}

fn first_line(file: &Path) -> Result<u32> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    line.parse().with_context(|| format!("{} does not begin with the number of a process", file.display()))
}

fn own_seconds(pid: u32, with_ended_children: bool) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("there is no process {pid}"))?;
    // The second field is a name in parentheses, which may hold spaces.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let ended = if with_ended_children { ticks(13) + ticks(14) } else { 0.0 };
    Ok((ticks(11) + ticks(12) + ended) / TICKS_PER_SECOND)
}

/// Resident memory in MB (10⁶ bytes).
pub fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
