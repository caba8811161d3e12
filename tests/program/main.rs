//! The built program as a child process: starting, stopping, being killed, and its commands.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod command_line;
mod durability;
mod migrating;
mod process;
mod servers;
mod serving;
