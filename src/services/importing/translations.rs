//! Files that are one piece in several languages.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::PostFile;
use super::run::Run;
use crate::services::slug::slugify;
use crate::services::{ServiceError, content_folder};
use crate::store::posts;

/// Gives files that are translations by their names alone their group, as Hugo and Zola have it:
/// `post.md` and `post.zh.md`. Such files have one name and so one slug, which here belongs to one
/// post: the others get their language behind it.
pub async fn group(run: &mut Run<'_>, dir: &Path, files: &mut [PostFile]) -> Result<(), ServiceError> {
    let groups = by_names(dir, files);
    for file in files.iter_mut() {
        let key = file.document.translation_key.take().or_else(|| groups.get(&file.path).cloned());
        file.document.translation_key = key;
    }
    let shared = shared_slugs(files);
    if shared.is_empty() {
        return Ok(());
    }
    let known = languages(run, shared.keys().map(|(_, slug)| slug.clone()).collect()).await?;
    for ((_, slug), at) in shared {
        let keeps = keeper(files, &at, known.get(&slug).map(String::as_str));
        for other in at.into_iter().filter(|at| *at != keeps) {
            let document = &mut files[other].document;
            if let Some(language) = &document.language {
                document.slug = slugify(&format!("{slug}-{language}"));
            }
        }
    }
    Ok(())
}

fn by_names(dir: &Path, files: &[PostFile]) -> HashMap<PathBuf, String> {
    let mut by_group: HashMap<String, Vec<&PathBuf>> = HashMap::new();
    for PostFile { path, document, .. } in files {
        if document.translation_key.is_none() {
            by_group.entry(content_folder::translation_group(dir, path)).or_default().push(path);
        }
    }
    let real = by_group.into_iter().filter(|(_, paths)| paths.len() > 1);
    real.flat_map(|(group, paths)| paths.into_iter().map(move |path| (path.clone(), group.clone()))).collect()
}

/// The files of one group that have one slug, which none of them wrote down: by group and slug.
fn shared_slugs(files: &[PostFile]) -> BTreeMap<(String, String), Vec<usize>> {
    let mut shared: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (at, PostFile { document, places, .. }) in files.iter().enumerate() {
        if let (Some(key), None) = (&document.translation_key, places.of("slug")) {
            shared.entry((key.clone(), document.slug.clone())).or_default().push(at);
        }
    }
    shared.retain(|_, at| at.len() > 1);
    shared
}

/// The languages of the posts that have these slugs.
async fn languages(run: &mut Run<'_>, slugs: Vec<String>) -> Result<HashMap<String, String>, ServiceError> {
    let mut tx = run.step().await?;
    let ids: Vec<_> = posts::ids_by_slugs(&mut tx, &slugs).await?.into_iter().map(|(_, id)| id).collect();
    let rows = posts::by_ids(&mut tx, &ids).await?;
    run.end(tx, &[]).await?;
    Ok(rows.into_iter().map(|row| (row.slug, row.language)).collect())
}

/// Who keeps the slug: the language that has it already, so that a further translation moves no
/// post; else the file that names no language, else the first.
fn keeper(files: &[PostFile], at: &[usize], known: Option<&str>) -> usize {
    let language = |at: usize| files[at].document.language.as_deref();
    let had = at.iter().find(|at| known.is_some_and(|known| language(**at).unwrap_or("en") == known));
    let plain = || at.iter().find(|at| language(**at).is_none());
    had.or_else(plain).or(at.first()).copied().unwrap_or_default()
}
