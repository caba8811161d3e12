//! Lists the files of the demo site, of the explorer and of the demo page, so that the binary carries them.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=examples/site");
    println!("cargo::rerun-if-changed=web/graphiql/dist");
    println!("cargo::rerun-if-changed=web/demo");
    println!("cargo::rerun-if-changed=migrations");
    write(&out.join("demo_site.rs"), &demo_site(&root.join("examples/site")));
    write(&out.join("graphiql.rs"), &graphiql(&root.join("web/graphiql/dist")));
    write(&out.join("demo_page.rs"), &demo_page(&root.join("web/demo")));
}

fn write(path: &Path, code: &str) {
    std::fs::write(path, code).expect("the output folder can be written");
}

fn demo_site(site: &Path) -> String {
    let mut files = Vec::new();
    collect(site, &mut files);
    files.retain(|path| path.extension().is_some_and(|e| e == "md" || e == "toml"));
    files.sort();
    let mut list = String::from("pub const FILES: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = text(file.strip_prefix(site).expect("below the folder"));
        writeln!(list, "    ({name:?}, include_str!({:?})),", text(file)).expect("a string takes it");
    }
    list.push_str("];\n");
    list
}

/// The page, and what it loads in the order of the names, each with a tag made from its content.
fn graphiql(dist: &Path) -> String {
    let mut assets = Vec::new();
    collect(&dist.join("assets"), &mut assets);
    let mut assets: Vec<_> = assets.iter().map(|path| served(path)).collect();
    assets.sort();
    let page = served(&dist.join("index.html"));
    format!("static PAGE: File = {page};\nstatic ASSETS: &[File] = &[\n    {},\n];\n", assets.join(",\n    "))
}

/// The demo page, its style, and its scripts in the order of their names.
fn demo_page(folder: &Path) -> String {
    let [page, style] = ["index.html", "style.css"].map(|name| served(&folder.join(name)));
    let mut scripts = Vec::new();
    collect(folder, &mut scripts);
    scripts.retain(|path| path.extension().is_some_and(|e| e == "js"));
    let mut scripts: Vec<_> = scripts.iter().map(|path| served(path)).collect();
    scripts.sort();
    let scripts = scripts.join(",\n    ");
    format!(
        "static PAGE: File = {page};\nstatic STYLE: File = {style};\nstatic SCRIPTS: &[File] = &[\n    {scripts},\n];\n"
    )
}

/// A file with its name and a tag made from its content.
fn served(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(path).expect("it can be read"));
    let name = path.file_name().expect("it has a name").to_str().expect("a UTF-8 name");
    let (name, etag) = (name.trim_end_matches(".gz"), format!("\"{:016x}\"", hasher.finish()));
    format!("File {{ name: {name:?}, etag: {etag:?}, content: include_bytes!({:?}) }}", text(path))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
