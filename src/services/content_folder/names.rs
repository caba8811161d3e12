//! Language tags, and what a file's path says about its post.

use std::path::{Component, Path};

use chrono::{DateTime, Utc};

use super::dates::leading_day;

/// Languages recognised in folder and file names. Not all of ISO 639: a folder `cs` or `ml`
/// is more often a topic than Czech or Malayalam, and front matter can always say it.
const LANGUAGES: [&str; 30] = [
    "ar", "bg", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nb", "nl",
    "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "ur", "vi", "zh",
];

/// Folders that only hold the posts; a language folder stands directly below them.
const CONTAINERS: [&str; 9] = ["_drafts", "_posts", "articles", "blog", "content", "docs", "posts", "source", "src"];

/// What the path says; front matter goes before it.
pub(super) struct PathFacts {
    /// The file's name without day, language and ending; the folder's for an `index.md`.
    pub name: String,
    pub date: Option<DateTime<Utc>>,
    pub language: Option<String>,
    pub kind: Option<&'static str>,
    /// In a `_drafts` folder.
    pub draft: bool,
    /// In Hexo's `source` folder, where a tag written without a list is one tag.
    pub hexo: bool,
}

/// The path without its language: files with the same one are translations of one another
/// (`post/a/index.md` and `post/a/index.zh-cn.md`; `content/en/a.md` and `content/zh/a.md`).
pub fn translation_group(root: &Path, path: &Path) -> String {
    let (folders, stem) = parts(root, path);
    let language_folder = language_folder(&folders);
    let mut group: Vec<&str> = folders
        .iter()
        .enumerate()
        .filter(|(at, _)| Some(*at) != language_folder)
        .map(|(_, folder)| folder.as_str())
        .collect();
    group.push(split_language(&stem).0);
    group.join("/")
}

pub(super) fn path_facts(root: &Path, path: &Path) -> PathFacts {
    let (folders, stem) = parts(root, path);
    let (stem, suffix) = split_language(&stem);
    let bundle = folders.last().filter(|_| stem.eq_ignore_ascii_case("index"));
    let name = bundle.map_or(stem, String::as_str);
    let (date, rest) = match leading_day(name) {
        Some((date, rest)) => (Some(date), rest),
        None => (None, name),
    };
    let folder_language = || language_tag(&folders[language_folder(&folders)?]);
    PathFacts {
        name: if rest.is_empty() { name } else { rest }.to_owned(),
        date,
        language: suffix.and_then(language_tag).or_else(folder_language),
        kind: folders.iter().rev().find_map(|folder| folder_kind(folder)).flatten(),
        draft: folders.iter().any(|folder| folder == "_drafts"),
        hexo: folders.iter().any(|folder| folder == "source"),
    }
}

/// The tag in its usual case (`zh_cn` becomes `zh-CN`); `None` where it has not that shape.
pub fn language_tag(text: &str) -> Option<String> {
    let mut out = Vec::new();
    for (at, part) in text.trim().split(['-', '_']).enumerate() {
        let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let shaped = match at {
            0 => letters && (2..=3).contains(&part.len()),
            _ => part.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (1..=8).contains(&part.len()),
        };
        if !shaped || at > 7 {
            return None;
        }
        out.push(match part.len() {
            2 if at > 0 => part.to_ascii_uppercase(),
            4 if at > 0 && letters => part[..1].to_ascii_uppercase() + &part[1..].to_ascii_lowercase(),
            _ => part.to_ascii_lowercase(),
        });
    }
    Some(out.join("-"))
}

/// The kind that a word in front matter or a folder's name stands for.
pub(super) fn kind_of(word: &str) -> Option<&'static str> {
    match word.trim().to_lowercase().as_str() {
        "article" | "articles" | "post" | "posts" => Some("article"),
        "note" | "notes" => Some("note"),
        "page" | "pages" => Some("page"),
        "project" | "projects" => Some("project"),
        _ => None,
    }
}

/// A number for a text, the same on every machine and in every version. FNV-1a.
pub(super) fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The folders below `root` and the file's name without its ending.
fn parts(root: &Path, path: &Path) -> (Vec<String>, String) {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let stem = relative.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = relative.parent().map(Path::to_path_buf).unwrap_or_default();
    let folders = folder.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    (folders.collect(), stem)
}

fn language_folder(folders: &[String]) -> Option<usize> {
    let at = folders.iter().position(|folder| !CONTAINERS.contains(&folder.as_str()))?;
    is_known_language(&folders[at]).then_some(at)
}

/// `name.zh-cn` into `name` and `zh-cn`.
fn split_language(stem: &str) -> (&str, Option<&str>) {
    match stem.rsplit_once('.') {
        Some((name, suffix)) if !name.is_empty() && is_known_language(suffix) => (name, Some(suffix)),
        _ => (stem, None),
    }
}

fn is_known_language(tag: &str) -> bool {
    let tag = tag.to_ascii_lowercase();
    let (language, region) = tag.split_once(['-', '_']).unwrap_or((&tag, "xx"));
    LANGUAGES.contains(&language) && matches!(region.len(), 2 | 4) && language_tag(&tag).is_some()
}

/// `Some(None)` for a folder of articles: it ends the search, but says no more than the default.
fn folder_kind(folder: &str) -> Option<Option<&'static str>> {
    if matches!(folder, "blog" | "_posts") {
        return Some(None);
    }
    kind_of(folder).map(|kind| Some(kind).filter(|kind| *kind != "article"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_tags() {
        for (text, tag) in [
            ("EN", Some("en")),
            ("zh_cn", Some("zh-CN")),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("english", None),
            ("", None),
            ("en-", None),
            ("en/../x", None),
        ] {
            assert_eq!(language_tag(text).as_deref(), tag, "{text:?}");
        }
    }

    fn facts(path: &str) -> (String, Option<String>, Option<&'static str>) {
        let facts = path_facts(Path::new("/site"), &Path::new("/site").join(path));
        (facts.name, facts.language, facts.kind)
    }

    #[test]
    fn paths_tell_name_language_and_kind() {
        for (path, name, language, kind) in [
            ("content/post/my-title/index.md", "my-title", None, None),
            ("content/post/my-title/index.zh-cn.md", "my-title", Some("zh-CN"), None),
            ("content/zh/pages/about.md", "about", Some("zh"), Some("page")),
            ("content/notes/a.zh.md", "a", Some("zh"), Some("note")),
            ("src/content/blog/en/a.mdx", "a", Some("en"), None),
            ("projects/x/posts/a.md", "a", None, None),
            ("_posts/2024-01-02-title.md", "title", None, None),
            ("about-node.js.md", "about-node.js", None, None),
            ("index.md", "index", None, None),
            ("notes/it/a.md", "a", None, Some("note")),
        ] {
            let expected = (name.to_owned(), language.map(str::to_owned), kind);
            assert_eq!(facts(path), expected, "{path}");
        }
    }

    #[test]
    fn translations_share_a_group() {
        let group = |path: &str| translation_group(Path::new("."), &Path::new(".").join(path));
        assert_eq!(group("post/a/index.md"), group("post/a/index.zh-cn.md"));
        assert_eq!(group("content/en/a.md"), group("content/zh/a.md"));
        assert_ne!(group("content/en/a.md"), group("content/en/b.md"));
        assert_ne!(group("x/a.md"), group("y/a.md"));
    }
}
