//! The first sign-in: there is always somebody who owns the site, and a way to be them.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use rand::Rng;

use crate::services::{Services, demo, profiles};
use crate::store::identities;
use crate::store::users::UserRow;

/// A line that tells how to sign in as the owner; it makes sure that one can. Nobody is given a password while an
/// owner has one: others may have come with an import.
///
/// A password that was made up is kept beside the database, readable by its owner only, so that
/// it can be told again; once it has been changed the line no longer names it.
pub async fn introduce(services: &Services, data_dir: &Path, embedded: bool) -> Result<String> {
    let now = Utc::now();
    let found = identities::owner(&mut *services.db.conn().await?).await?;
    let (owner, hash) = match found {
        Some(found) => found,
        None if embedded => (demo::make_owner(services, "owner", "Owner", false, now).await?, None),
        None => {
            return Ok("There is no owner yet: make one with `inkstone user create --handle … --role owner`.".into());
        }
    };
    let file = data_dir.join("owner-password");
    if let Some(hash) = hash {
        return known(services, &owner, &file, hash).await;
    }
    let password = random_password();
    profiles::set_password(services, owner.id, password.clone(), now).await?;
    if embedded {
        keep(&file, &password).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(sign_in_with(&owner, &password))
}

async fn known(services: &Services, owner: &UserRow, file: &PathBuf, hash: String) -> Result<String> {
    if let Ok(password) = std::fs::read_to_string(file) {
        let password = password.trim().to_owned();
        if services.passwords.verify(password.clone(), Some(hash)).await? {
            return Ok(sign_in_with(owner, &password));
        }
        // It opens nothing any more.
        if let Err(error) = std::fs::remove_file(file) {
            tracing::warn!(%error, file = %file.display(), "an old password cannot be deleted");
        }
    }
    Ok(format!("Sign in as the owner with the handle {:?} and your password.", owner.handle))
}

fn sign_in_with(owner: &UserRow, password: &str) -> String {
    format!("Sign in as the owner with the handle {:?} and the password {password}", owner.handle)
}

/// 18 random bytes: as good as a key, and still to be typed.
pub fn random_password() -> String {
    let mut bytes = [0u8; 18];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn keep(file: &Path, password: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(file)?, "{password}")
}
