//! Subscriptions: what arrives, in which order, and that nothing is missed.

#[path = "../support/mod.rs"]
mod support;

mod protocol;
mod replicas;
mod resuming;
mod rights;
mod subscriptions;
mod writing;
