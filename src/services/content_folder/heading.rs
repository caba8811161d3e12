//! The title of a post that has it as a heading.

use super::document::normal_body;

/// The first heading, when it is of the first level; it leaves the body.
pub(super) fn take_heading(body: &mut String) -> Option<String> {
    let mut start = 0;
    let mut fence: Option<String> = None;
    for line in body.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        let line = line.trim_end();
        let text = line.trim_start_matches(' ');
        if line.len() - text.len() > 3 {
            continue;
        }
        match &fence {
            Some(open) if text.starts_with(open.as_str()) => fence = None,
            Some(_) => {}
            None if text.starts_with("```") || text.starts_with("~~~") => {
                let mark = text.chars().next()?;
                fence = Some(text.chars().take_while(|c| *c == mark).collect());
            }
            None => {
                let level = text.chars().take_while(|c| *c == '#').count();
                let rest = &text[level..];
                if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
                    continue;
                }
                let title = heading_text(rest).filter(|_| level == 1)?;
                body.replace_range(range, "");
                *body = normal_body(body);
                return Some(title);
            }
        }
    }
    None
}

/// The text of a heading without a closing run of `#`.
fn heading_text(rest: &str) -> Option<String> {
    let rest = rest.trim();
    let open = rest.trim_end_matches('#');
    let title = if open.is_empty() || open.ends_with([' ', '\t']) { open } else { rest };
    let title = title.replace(char::is_control, " ");
    Some(title.trim().to_owned()).filter(|title| !title.is_empty())
}
