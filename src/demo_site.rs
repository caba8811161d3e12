//! The files of `examples/site`, as they were when this was built.

include!(concat!(env!("OUT_DIR"), "/demo_site.rs"));
