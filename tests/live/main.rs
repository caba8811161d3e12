//! Subscriptions: what arrives, in which order, and that nothing is missed.

#[path = "../support/mod.rs"]
mod support;

mod chat;
mod log;
mod multipart;
mod protocol;
mod replicas;
mod resuming;
mod rights;
mod single;
mod stopping;
mod subscriptions;
mod upgrade;
mod viewers;
mod watch;
mod writing;
