//! The GraphQL API over HTTP: what is answered, to whom, and with how many statements.

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod costs;
mod examples;
mod feeds;
mod http;
mod limits;
mod pages;
mod permissions;
mod rate;
mod reading;
