//! Bringing content in and out: import, export, the demo site.

#[path = "../support/mod.rs"]
mod support;

mod demo_site;
mod exporting;
mod folders;
mod importing;
mod picture;
