//! Lists the files of the demo site, so that the binary carries it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let site = root.join("examples/site");
    println!("cargo::rerun-if-changed=examples/site");
    println!("cargo::rerun-if-changed=migrations");
    let mut files = Vec::new();
    collect(&site, &mut files);
    files.sort();
    let mut list = String::from("pub const FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = file.strip_prefix(&site).expect("below the folder").to_str().expect("a UTF-8 name");
        writeln!(list, "    ({name:?}, include_str!({:?})),", file.to_str().expect("a UTF-8 path"))
            .expect("a string takes it");
    }
    list.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("demo_site.rs"), list).expect("the output folder can be written");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the demo site is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "md" || e == "toml") {
            files.push(path);
        }
    }
}
