//! The GraphQL API over HTTP: what is answered, to whom, and with how many statements.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bodies;
mod chat;
mod connections;
mod costs;
mod demo_page;
mod documents;
mod examples;
mod feeds;
mod http;
mod limits;
mod openai;
mod pages;
mod permissions;
mod rate;
mod reading;
mod reading_history;
mod rest;
mod search;
