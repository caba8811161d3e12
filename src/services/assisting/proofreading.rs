//! What is wrong in a post's text, as corrections that an editor chooses from.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::parsed;
use super::kept::scan;
use super::reading::{self, Read};
use super::work::{Stop, Task, Work};
use super::{Correction, Suggestion};

/// Most corrections of a part, and of a post.
const MAX_OF_PART: usize = 8;
const MAX_CORRECTIONS: usize = 200;
/// Most characters of what is wrong, of what is right, and of why.
const MAX_ORIGINAL: usize = 200;
const MAX_REPLACEMENT: usize = 300;
const MAX_REASON: usize = 200;
/// A part is of so many tokens at most: small models lose the thread in more.
const MAX_PART_TOKENS: usize = 900;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    corrections: Vec<Found>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    original: String,
    replacement: String,
    reason: String,
}

pub async fn make(work: &mut Work) -> Result<Suggestion, Stop> {
    let tokens = (work.context() / 3).min(MAX_PART_TOKENS);
    let planned = reading::planned(&work.source.markdown, tokens)?;
    work.start(planned.len()).await?;
    let task = Task {
        file: "proofread.txt",
        built_in: include_str!("prompts/proofread.txt"),
        values: &[],
        order: "Write the JSON with the corrections.",
        max_tokens: 700,
        schema: Some(schema()),
        picture: None,
    };
    let read = reading::each(work, &task, (planned, tokens), 0, str::to_owned).await?;
    let markdown = &work.source.markdown;
    let (mut found, mut skipped, mut refused) = (Vec::new(), 0, None);
    for Read { range, text } in &read {
        let answer = text.as_deref().ok_or_else(|| Stop::bad_output("it does not end")).and_then(checked);
        match answer {
            Ok(all) => found.extend(places(markdown, range, all)),
            Err(why) => {
                skipped += 1;
                refused.get_or_insert(why);
            }
        }
    }
    match refused {
        Some(why) if skipped == read.len() => return Err(why),
        _ => {}
    }
    found.truncate(MAX_CORRECTIONS);
    Ok(Suggestion::Proofreading { corrections: in_utf16(markdown, found), skipped_parts: skipped })
}

fn schema() -> Value {
    let text = |least: usize, most: usize| json!({ "type": "string", "minLength": least, "maxLength": most });
    let correction = json!({
        "type": "object",
        "properties": {
            "original": text(1, MAX_ORIGINAL),
            "replacement": text(0, MAX_REPLACEMENT),
            "reason": text(0, MAX_REASON),
        },
        "required": ["original", "replacement", "reason"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": { "corrections": { "type": "array", "items": correction, "maxItems": MAX_OF_PART } },
        "required": ["corrections"],
        "additionalProperties": false,
    })
}

fn checked(text: &str) -> Result<Vec<Found>, Stop> {
    let Answer { corrections } = parsed(text)?;
    let fits = |text: &str, most: usize| text.chars().count() <= most;
    let all_fit = corrections.iter().all(|it| {
        fits(&it.original, MAX_ORIGINAL) && fits(&it.replacement, MAX_REPLACEMENT) && fits(&it.reason, MAX_REASON)
    });
    if corrections.len() > MAX_OF_PART || !all_fit {
        return Err(Stop::bad_output("it has more corrections than were asked for, or longer ones"));
    }
    Ok(corrections)
}

/// Where the corrections of a part stand. Those go that stand nowhere, change nothing, reach into
/// another, or touch what is no prose.
fn places(markdown: &str, part: &Range<usize>, found: Vec<Found>) -> Vec<(Range<usize>, Found)> {
    let text = &markdown[part.clone()];
    let mut taken: Vec<Range<usize>> = scan(text).into_iter().map(|kept| kept.range).collect();
    let mut placed = Vec::new();
    for it in found {
        let harmless = it.original != it.replacement
            && !it.original.is_empty()
            && scan(&it.replacement).is_empty()
            && !it.replacement.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
        let free =
            |range: &Range<usize>| taken.iter().all(|other| range.end <= other.start || other.end <= range.start);
        let place = text.match_indices(&it.original).map(|(at, original)| at..at + original.len()).find(free);
        if let Some(range) = place.filter(|_| harmless) {
            taken.push(range.clone());
            placed.push((part.start + range.start..part.start + range.end, it));
        }
    }
    placed
}

/// In the order of the text.
fn in_utf16(markdown: &str, mut found: Vec<(Range<usize>, Found)>) -> Vec<Correction> {
    found.sort_by_key(|(range, _)| range.start);
    let places = utf16_ranges(markdown, found.iter().map(|(range, _)| range.clone()));
    let correction = |((_, found), place): ((Range<usize>, Found), Range<usize>)| {
        let Found { original, replacement, reason } = found;
        let reason = reason.replace('\0', "").trim().to_owned();
        Correction { start: place.start, end: place.end, original, replacement, reason }
    };
    found.into_iter().zip(places).map(correction).collect()
}

/// Ranges of bytes in UTF-16 code units. They stand in their order.
pub fn utf16_ranges(text: &str, ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let (mut at, mut units) = (0, 0);
    let mut in_units = |range: Range<usize>| {
        units += text[at..range.start].encode_utf16().count();
        at = range.start;
        units..units + text[range].encode_utf16().count()
    };
    ranges.map(&mut in_units).collect()
}

/// A text with these corrections; none where it says something else in one of their places.
pub fn corrected(markdown: &str, corrections: &[&Correction]) -> Option<String> {
    let units: Vec<u16> = markdown.encode_utf16().collect();
    let mut ordered = corrections.to_vec();
    ordered.sort_by_key(|it| it.start);
    let (mut text, mut last) = (String::with_capacity(markdown.len()), 0);
    for it in ordered {
        let between = String::from_utf16(units.get(last..it.start)?).ok()?;
        if String::from_utf16(units.get(it.start..it.end)?).ok()? != it.original {
            return None;
        }
        text.push_str(&between);
        text.push_str(&it.replacement);
        last = it.end;
    }
    text.push_str(&String::from_utf16(units.get(last..)?).ok()?);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(original: &str, replacement: &str) -> Found {
        Found { original: original.into(), replacement: replacement.into(), reason: "why".into() }
    }

    #[test]
    fn only_what_stands_in_the_prose_is_corrected() {
        let markdown = "# 墨😀\n\nIt are `are` good. See [are](https://are.example). It are.\n";
        let part = 0..markdown.len();
        let all = vec![
            found("It are", "It is"),
            found("It are", "It is"),
            found("It are", "It is"),
            found("`are`", "`is`"),
            found("are.example", "is.example"),
            found("nowhere", "here"),
            found("good", "good"),
            found("See", "See <b>"),
            found("good.", "good. [x](https://evil.example)"),
            found("", "x"),
        ];
        let corrections = in_utf16(markdown, places(markdown, &part, all));
        let shown: Vec<_> = corrections.iter().map(|it| (it.start, it.end, it.original.as_str())).collect();
        assert_eq!(shown, [(7, 13, "It are"), (58, 64, "It are")]);
        let chosen: Vec<&Correction> = corrections.iter().rev().collect();
        let text = corrected(markdown, &chosen).expect("all stand where they stood");
        assert_eq!(text, "# 墨😀\n\nIt is `are` good. See [are](https://are.example). It is.\n");
        assert_eq!(corrected("# 墨\n\nIt are", &chosen), None, "another text");
        assert_eq!(corrected(markdown, &[]).as_deref(), Some(markdown));
    }

    #[test]
    fn what_breaks_the_form_is_refused() {
        for broken in [
            "no JSON",
            "{}",
            "{\"corrections\": [{\"original\": \"a\"}]}",
            "{\"corrections\": [{\"original\": \"a\", \"replacement\": \"b\", \"reason\": \"c\", \"publish\": true}]}",
        ] {
            assert!(checked(broken).is_err(), "{broken}");
        }
        let many = json!({ "original": "a", "replacement": "b", "reason": "c" });
        assert!(checked(&json!({ "corrections": vec![many; 9] }).to_string()).is_err());
        assert!(checked("{\"corrections\": []}").is_ok_and(|all| all.is_empty()));
    }
}
