//! Other titles for a post.

use serde::Deserialize;
use serde_json::json;

use super::Suggestion;
use super::answers::{in_script_of, one_line, parsed};
use super::work::{Stop, Task, Work};
use crate::services::words::fold;

/// Most titles, and the longest.
const MAX_TITLES: usize = 3;
const MAX_CHARS: usize = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    titles: Vec<String>,
}

pub async fn make(work: &mut Work) -> Result<Suggestion, Stop> {
    work.start(1).await?;
    let title = json!({ "type": "string", "minLength": 1, "maxLength": MAX_CHARS });
    let schema = json!({
        "type": "object",
        "properties": { "titles": { "type": "array", "items": title, "minItems": 1, "maxItems": MAX_TITLES } },
        "required": ["titles"],
        "additionalProperties": false,
    });
    let task = Task {
        file: "title.txt",
        built_in: include_str!("prompts/title.txt"),
        values: &[],
        order: "Write the JSON with the titles.",
        max_tokens: 240,
        schema: Some(schema),
        picture: None,
    };
    let written = work.write_of_post(&task).await?;
    let titles = checked(parsed::<Answer>(&written.text)?.titles, &work.source.row.title)?;
    in_script_of(&work.source.row.language, &titles.join(" "))?;
    Ok(Suggestion::Titles { titles })
}

/// Each once, and none that the post has already.
fn checked(titles: Vec<String>, current: &str) -> Result<Vec<String>, Stop> {
    if titles.len() > MAX_TITLES || titles.iter().any(|title| title.chars().count() > MAX_CHARS) {
        return Err(Stop::bad_output("it has more titles than were asked for, or longer ones"));
    }
    let mut kept: Vec<String> = Vec::new();
    for title in titles.iter().map(|title| one_line(title)).filter(|title| title.chars().any(char::is_alphanumeric)) {
        let folded = fold(&title);
        if folded != fold(current) && kept.iter().all(|other| fold(other) != folded) {
            kept.push(title);
        }
    }
    if kept.is_empty() { Err(Stop::bad_output("it has no title that the post does not have")) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_new_and_each_once() {
        let titles = |all: &[&str]| checked(all.iter().map(|it| (*it).to_owned()).collect(), "On ink").ok();
        assert_eq!(titles(&["Ink", " \"INK\" ", "Soot\nand"]), Some(vec!["Ink".into(), "Soot and".into()]));
        assert_eq!(titles(&["ON INK", "!"]), None);
        assert_eq!(titles(&["a", "b", "c", "d"]), None);
        assert_eq!(titles(&[&"x".repeat(121)]), None);
    }
}
