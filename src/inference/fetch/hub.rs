//! The model hub: one address a file, and the cache that other programs of this machine keep of it.
//!
//! `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HUB_CACHE` and `HF_HOME` mean what they mean
//! to the hub's own clients. Those are not used here: they bring more crates than this program has
//! otherwise, for what is one request.

use std::path::{Path, PathBuf};

use super::download::{Client, Wanted};
use super::{FetchError, Progress, copy};

/// The hash of a file that the hub keeps apart from its repository.
const LINKED_HASH: &str = "x-linked-etag";

pub(super) struct Hub {
    endpoint: String,
    token: Option<String>,
    offline: bool,
    /// Where the hub's own clients keep what they fetched.
    cache: Option<PathBuf>,
}

impl Hub {
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = text("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = text("XDG_CACHE_HOME").map(PathBuf::from);
            Some(cache.or_else(|| Some(std::env::home_dir()?.join(".cache")))?.join("huggingface"))
        });
        let token = text("HF_TOKEN").or_else(|| {
            let kept = std::fs::read_to_string(home.as_ref()?.join("token")).ok()?;
            Some(kept.trim().to_owned()).filter(|token| !token.is_empty())
        });
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|value| !["0", "false", "no", "off"].contains(&value.to_lowercase().as_str()));
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token,
            offline,
            cache: text("HF_HUB_CACHE").map(PathBuf::from).or_else(|| Some(home?.join("hub"))),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what to fetch, and where to")]
    pub async fn fetch(
        &self,
        client: &Client,
        repository: &str,
        revision: &str,
        file: &str,
        mut wanted: Wanted,
        path: &Path,
        progress: Progress,
    ) -> Result<(), FetchError> {
        if let Some(cached) = self.cached(repository, revision, file) {
            return copy(&cached, &wanted, path).await;
        }
        let url = format!("{}/{repository}/resolve/{revision}/{file}", self.endpoint.trim_end_matches('/'));
        if self.offline {
            let reason = "HF_HUB_OFFLINE is set".to_owned();
            return Err(FetchError::Unreachable { url, reason });
        }
        if wanted.sha256.is_none() {
            let headers = client.head(&url, self.token.as_deref()).await?;
            let linked = headers.get(LINKED_HASH).and_then(|hash| hash.to_str().ok());
            let linked = linked.map(|hash| hash.trim_matches('"').to_owned());
            wanted.sha256 = linked.filter(|hash| hash.len() == 64);
        }
        client.download(&url, self.token.as_deref(), wanted, path, progress).await
    }

    /// A file in the cache of the hub's own clients.
    fn cached(&self, repository: &str, revision: &str, file: &str) -> Option<PathBuf> {
        let folder = self.cache.as_ref()?.join(format!("models--{}", repository.replace('/', "--")));
        let commit = std::fs::read_to_string(folder.join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
        Some(folder.join("snapshots").join(commit).join(file)).filter(|path| path.is_file())
    }
}
