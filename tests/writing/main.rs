//! Everything that changes something: what is accepted, what is refused, and what is read afterwards.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod assist;
mod comments;
mod deeds;
mod graph;
mod jobs;
mod organising;
mod posts;
mod reactions;
mod refusals;
mod scheduling;
mod vanishing;
