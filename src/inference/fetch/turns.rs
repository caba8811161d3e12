//! One after another: several tasks and several processes may want the same file at once.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::{FetchError, disk};

/// How often it is looked whether it is our turn.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Our turn, until this is dropped.
pub(super) struct Turn {
    _locked: File,
}

/// Waits until nobody else fetches what has this name in this folder of models.
pub(super) async fn take(folder: &Path, name: &str) -> Result<Turn, FetchError> {
    let path = folder.join(".locks").join(name);
    let opened = std::fs::create_dir_all(folder.join(".locks")).and_then(|()| File::create(&path));
    let file = opened.map_err(|source| disk(&path, source))?;
    // Polled, so that whoever does not wait any longer leaves no thread behind.
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    // A file system without locks has one process at most, as before.
    Ok(Turn { _locked: file })
}
