//! The data directory: made private, locked against a second process, copied as a template.
//!
//! In it: `cluster` (Postgres' own files, never touched here), `inkstone.lock`, and `vacuumed`,
//! whose age tells when everything was last vacuumed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::EmbeddedError;

const LOCK: &str = "inkstone.lock";
/// Left by a backend that was killed, or made anew by the next one; a copy must not carry them.
const NOT_COPIED: [&str; 4] = [LOCK, ".cluster.oliphaunt-wasix-rust.lock", "postmaster.pid", "postmaster.opts"];

/// A locked data directory. Dropping it releases the lock.
#[derive(Debug)]
pub(super) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes `dir` if it is missing (mode 0700) and takes its lock.
    ///
    /// Errors: `InUse`, or `NotWritable` with the cause.
    pub fn open(dir: &Path) -> Result<Self, EmbeddedError> {
        let not_writable = |source| EmbeddedError::NotWritable { dir: dir.to_owned(), source };
        create_private(dir).map_err(not_writable)?;
        // A link is resolved, since the embedded runtime refuses to work through one.
        let root = dir.canonicalize().map_err(not_writable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let lock = options.open(root.join(LOCK)).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse { dir: root }),
            Err(TryLockError::Error(source)) => Err(not_writable(source)),
        }
    }

    /// Where the runtime keeps Postgres' files.
    pub fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// The file whose modification time says when everything was last vacuumed.
    pub fn vacuumed(&self) -> PathBuf {
        self.root.join("vacuumed")
    }
}

fn create_private(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Copies the data directory `from`, which must not be in use, to `to`, which must not exist.
///
/// The quickest way to a fresh database: start one, migrate it, shut it down, copy it as often
/// as needed. The copy is not synced to the disk, so use it for tests and not for backups.
pub fn copy_template(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is already there", to.display())));
    }
    create_private(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if NOT_COPIED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_template(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// The runtime's cache folder, where that is known.
///
/// It unpacks about 50 MB there and can be told another place through `XDG_CACHE_HOME` only.
#[cfg(target_os = "linux")]
pub(super) fn cache_dir() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let base = set.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(base.join("oliphaunt-wasix"))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cache_dir() -> Option<PathBuf> {
    None
}

/// Fails when the runtime's cache folder cannot be written.
pub(super) fn check_cache() -> Result<(), EmbeddedError> {
    let Some(dir) = cache_dir() else {
        return Ok(());
    };
    let probe = dir.join(format!(".writable-{}-{:?}", std::process::id(), std::thread::current().id()));
    let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&probe, b""));
    written.map_err(|source| EmbeddedError::CacheNotWritable { dir, source })?;
    fs::remove_file(&probe).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_and_has_one_owner() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let held = DataDir::open(&dir).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let second = DataDir::open(&dir).unwrap_err();
        assert!(matches!(second, EmbeddedError::InUse { .. }), "got {second:?}");
        assert!(second.to_string().contains("in use"), "got {second}");
        drop(held);
        DataDir::open(&dir).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("data")).unwrap_err();
        assert!(matches!(error, EmbeddedError::NotWritable { .. }), "got {error:?}");
    }

    #[test]
    fn a_copy_leaves_locks_and_process_files_behind() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        fs::create_dir_all(from.join("cluster/pgdata")).unwrap();
        for name in [LOCK, "vacuumed", "cluster/pgdata/PG_VERSION", "cluster/pgdata/postmaster.pid"] {
            fs::write(from.join(name), name).unwrap();
        }
        copy_template(&from, &to).unwrap();
        assert!(to.join("cluster/pgdata/PG_VERSION").exists() && to.join("vacuumed").exists());
        assert!(!to.join(LOCK).exists() && !to.join("cluster/pgdata/postmaster.pid").exists());
        assert_eq!(copy_template(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
