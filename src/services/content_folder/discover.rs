//! Finding and reading the Markdown files of a folder.

use std::{
    fs::{self, DirEntry, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{FileProblem, MAX_DEPTH, MAX_FILE_BYTES, MAX_FILES, line_of};

const MARKDOWN: [&str; 7] = ["md", "mdx", "markdown", "mdown", "mkd", "mkdn", "mkdown"];

/// Folders that hold Markdown which is no post: a theme's examples, templates, dependencies.
/// Only at the top, as a section of posts may bear the same name further down.
const NOT_CONTENT_AT_TOP: [&str; 7] = ["_includes", "_layouts", "_site", "archetypes", "scaffolds", "themes", "vendor"];

/// Why a folder could not be searched.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} is not a folder; give the folder that holds the Markdown files", .0.display())]
    NotAFolder(PathBuf),
    #[error("cannot read the folder {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} holds more than {MAX_FILES} Markdown files; import its folders one by one",
        .0.display()
    )]
    TooMany(PathBuf),
}

/// Every Markdown file under `dir`, in the order of its path, whatever the machine.
///
/// Left out: hidden files and folders, `node_modules`, `_index.md` (a Hugo or Zola section), a
/// README and the folders of themes and templates at the top. `_drafts` is looked into;
/// [`super::parse`] makes its posts drafts. Symbolic links are never followed, so nothing outside
/// `dir` is read. A folder that cannot be read or lies too deep, and a post that is only linked to,
/// stop nothing else: they are the problems that come with the files.
/// Errors: `dir` is no folder or cannot be read, or holds more files than the limit.
pub fn discover(dir: &Path) -> Result<(Vec<PathBuf>, Vec<FileProblem>), FolderError> {
    if !dir.is_dir() {
        return Err(FolderError::NotAFolder(dir.to_path_buf()));
    }
    let top = entries(dir).map_err(|source| FolderError::Read { path: dir.to_path_buf(), source })?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut open = vec![(top, 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in folder {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let mut say = |message| problems.push(FileProblem { path: path.clone(), line: None, message });
            match entry.file_type() {
                Err(cause) => say(format!("cannot be read: {cause}")),
                Ok(kind) if kind.is_dir() && is_searched(&name, depth) => match entries(&path) {
                    _ if depth == MAX_DEPTH => say(format!("is more than {MAX_DEPTH} folders deep; move it up")),
                    Ok(inner) => open.push((inner, depth + 1)),
                    Err(cause) => say(format!("the folder cannot be read: {cause}")),
                },
                Ok(kind) if kind.is_symlink() && is_post(&name, depth) => {
                    say("is a symbolic link, which is not followed; put the file itself here".to_owned());
                }
                Ok(kind) if kind.is_file() && is_post(&name, depth) => found.push(path),
                Ok(_) => {}
            }
            if found.len() > MAX_FILES {
                return Err(FolderError::TooMany(dir.to_path_buf()));
            }
        }
    }
    found.sort();
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((found, problems))
}

/// The text of a file that [`discover`] found.
///
/// Errors: it cannot be read, is larger than [`MAX_FILE_BYTES`], or is not UTF-8 (with the line).
pub fn read(path: &Path) -> Result<String, FileProblem> {
    read_bounded(path, MAX_FILE_BYTES)
}

pub(super) fn read_bounded(path: &Path, max_bytes: usize) -> Result<String, FileProblem> {
    let problem = |line, message| FileProblem { path: path.to_path_buf(), line, message };
    let mut bytes = Vec::new();
    File::open(path)
        // One byte more tells "exactly at the limit" from "over it" without reading the rest.
        .and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
        .map_err(|cause| problem(None, format!("cannot be read: {cause}")))?;
    if bytes.len() > max_bytes {
        let message = format!("is larger than {} KiB; split it", max_bytes / 1024);
        return Err(problem(None, message));
    }
    String::from_utf8(bytes).map_err(|cause| {
        let valid = String::from_utf8_lossy(&cause.as_bytes()[..cause.utf8_error().valid_up_to()]);
        let message = "is not UTF-8 text; save it in that encoding".to_owned();
        problem(Some(line_of(&valid, valid.len())), message)
    })
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    fs::read_dir(folder)?.collect()
}

fn is_searched(name: &str, depth: usize) -> bool {
    !name.starts_with('.') && name != "node_modules" && !(depth == 0 && NOT_CONTENT_AT_TOP.contains(&name))
}

fn is_post(name: &str, depth: usize) -> bool {
    let name = name.to_lowercase();
    let Some((stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let is_section = stem == "_index" || stem.starts_with("_index.");
    let is_readme = depth == 0 && stem == "readme";
    MARKDOWN.contains(&extension) && !stem.is_empty() && !stem.starts_with('.') && !is_section && !is_readme
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "# x\n").unwrap();
        }
        dir
    }

    fn found(dir: &Path) -> Vec<String> {
        let relative = |path: PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
        discover(dir).unwrap().0.into_iter().map(relative).collect()
    }

    #[test]
    fn finds_posts_in_a_stable_order_and_leaves_the_rest() {
        let dir = folder(&[
            "b.md",
            "a/z/index.md",
            "a/c.MDX",
            "_posts/2024-01-02-x.markdown",
            "_drafts/d.md",
            "content/themes/e.md",
            "content/readme.md",
            "README.md",
            "a/_index.md",
            "a/_index.zh.md",
            ".git/x.md",
            ".hidden.md",
            "a/node_modules/p/x.md",
            "themes/t/exampleSite/content/x.md",
            "archetypes/default.md",
            "a/picture.png",
            "md",
        ]);
        let expected = [
            "_drafts/d.md",
            "_posts/2024-01-02-x.markdown",
            "a/c.MDX",
            "a/z/index.md",
            "b.md",
            "content/readme.md",
            "content/themes/e.md",
        ];
        assert_eq!(found(dir.path()), expected);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let outside = folder(&["secret.md", "sub/secret.md"]);
        let dir = folder(&["a.md"]);
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(outside.path().join("secret.md"), dir.path().join("b.md")).unwrap();
        link(outside.path().join("sub"), dir.path().join("sub")).unwrap();
        link(dir.path().to_path_buf(), dir.path().join("loop")).unwrap();
        assert_eq!(found(dir.path()), ["a.md"]);
        let problems = discover(dir.path()).unwrap().1;
        assert_eq!(problems.len(), 1, "a post that is left out is told: {problems:?}");
        assert!(problems[0].to_string().contains("b.md: is a symbolic link"), "{}", problems[0]);
    }

    /// As root every folder can be read: then there is nothing to tell.
    #[cfg(unix)]
    #[test]
    fn a_folder_that_cannot_be_read_stops_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let dir = folder(&["a.md", "closed/b.md", "z/c.md"]);
        let closed = dir.path().join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let readable = fs::read_dir(&closed).is_ok();
        let (files, problems) = discover(dir.path()).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if readable {
            assert_eq!((files.len(), told.len()), (3, 0), "{told:?}");
        } else {
            assert_eq!(files, [dir.path().join("a.md"), dir.path().join("z/c.md")]);
            assert!(told.len() == 1 && told[0].contains("/closed: the folder cannot be read"), "{told:?}");
        }
    }

    #[test]
    fn what_lies_too_deep_is_told_and_absence_is_an_error() {
        let deepest = format!("{}x.md", "d/".repeat(MAX_DEPTH));
        assert_eq!(found(folder(&[&deepest]).path()), [deepest.as_str()]);
        let dir = folder(&[&format!("d/{deepest}"), "a.md"]);
        assert_eq!(found(dir.path()), ["a.md"], "the rest is found");
        let problems = discover(dir.path()).unwrap().1;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains("/d: is more than 32 folders deep"), "{}", problems[0]);
        let absent = discover(&dir.path().join("nowhere"));
        assert!(matches!(absent, Err(FolderError::NotAFolder(_))));
    }

    #[test]
    fn reading_names_what_is_wrong() {
        let dir = folder(&["a.md"]);
        let path = dir.path().join("a.md");
        fs::write(&path, b"one\ntwo\n\xff\n").unwrap();
        let problem = read(&path).unwrap_err();
        assert_eq!(problem.line, Some(3));
        assert!(problem.to_string().contains("a.md:3: is not UTF-8"), "{problem}");
        fs::write(&path, vec![b'x'; MAX_FILE_BYTES]).unwrap();
        assert_eq!(read(&path).unwrap().len(), MAX_FILE_BYTES);
        fs::write(&path, vec![b'x'; MAX_FILE_BYTES + 1]).unwrap();
        assert!(read(&path).unwrap_err().message.contains("larger than 3072 KiB"));
        let absent = read(&dir.path().join("b.md")).unwrap_err();
        assert!(absent.message.starts_with("cannot be read"), "{absent}");
    }
}
