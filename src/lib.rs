//! Inkstone: the backend of a personal site in one program.
//!
//! Each module is a room. Imports point down:
//!
//! ```text
//! main → cli, app → http, jobs → graphql → services → store, cache, events, auth, inference → config
//! ```
//!
//! `jobs` skips `graphql`. The leaves do not import each other, save that `events` and `auth` use
//! `store`. `telemetry` lies below all of them. diesel appears only in `store`, fred only in
//! `cache` and `events`, candle only in `inference`, axum only in `http` and `app`. `tests/layers.rs` enforces it. `error` is
//! where errors of all rooms become errors of the API; only `graphql` and `http` use it.

pub mod app;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod config;
pub mod demo_site;
pub mod error;
pub mod events;
pub mod graphql;
pub mod http;
pub mod inference;
pub mod jobs;
pub mod services;
pub mod store;
pub mod telemetry;
