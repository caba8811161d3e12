//! Bringing content in and out: import, export, the demo site.

#[path = "../support/mod.rs"]
mod support;

mod columns;
mod demo_site;
mod dry_run;
mod exporting;
mod folders;
mod graph;
mod importing;
mod other_generators;
mod picture;
mod refusals;
