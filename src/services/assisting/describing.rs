//! Alternative texts for the pictures of a post, by a model that reads pictures. It is a provider's, which
//! fetches them: this server opens no address that stands in a post.

use std::ops::Range;

use ammonia::Url;

use super::answers::{in_script_of, one_line, shortened};
use super::pictures::{Picture, escaped, pictures};
use super::proofreading::utf16_ranges;
use super::work::{Stop, Task, Work};
use super::{AssistFailure, Correction, PictureText, Suggestion};
use crate::inference::InferenceError;
use crate::services::markdown::resolved;
use crate::services::{RefusalCode, ServiceError};

/// Most pictures of a post.
const MAX_PICTURES: usize = 50;
const MAX_CHARS: usize = 250;
/// So much of the post before a picture, and behind it, tells what it is there for.
const AROUND_BYTES: usize = 800;

pub async fn make(work: &mut Work) -> Result<Suggestion, Stop> {
    let found = pictures(&work.source.markdown);
    if found.is_empty() {
        let message = "the post has no pictures, written as `![](address)`: there is nothing to describe";
        return Err(ServiceError::refuse(RefusalCode::WrongState, "postId", message).into());
    }
    work.start(found.len().min(MAX_PICTURES)).await?;
    let page = {
        let row = &work.source.row;
        work.services.chats.settings().addresses.post(row.kind, &row.slug, &row.language)
    };
    let (mut described, mut refused) = (Vec::new(), None);
    for (part, picture) in found.iter().take(MAX_PICTURES).enumerate() {
        work.enter(part);
        match describe(work, &page, picture).await {
            Ok(text) => described.push((picture, text)),
            // The next one may be a better picture.
            Err(
                why @ Stop::Failure(
                    AssistFailure::BadOutput(_)
                    | AssistFailure::Inference(InferenceError::BadInput(_) | InferenceError::TooLong { .. }),
                ),
            ) => {
                refused.get_or_insert(why);
            }
            Err(why) => return Err(why),
        }
    }
    match refused {
        Some(why) if described.is_empty() => return Err(why),
        _ => {}
    }
    let skipped_pictures = found.len() - described.len();
    Ok(Suggestion::AltTexts { pictures: in_utf16(&work.source.markdown, described), skipped_pictures })
}

async fn describe(work: &mut Work, page: &str, picture: &Picture) -> Result<String, Stop> {
    let task = Task {
        file: "alt.txt",
        built_in: include_str!("prompts/alt.txt"),
        values: &[],
        order: "Write the alternative text of the picture.",
        max_tokens: 200,
        schema: None,
        picture: Some(address(page, &picture.target)?),
    };
    let text = format!("Title: {}\n\n{}", work.source.row.title, around(&work.source.markdown, &picture.alt));
    let written = work.write(&task, &text).await?;
    let text = shortened(&one_line(&written.text), MAX_CHARS);
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Stop::bad_output("it says nothing"));
    }
    in_script_of(&work.source.row.language, &text)?;
    Ok(text)
}

/// An address that a provider can fetch, or the picture itself; `page` is the post's on the front end.
fn address(page: &str, target: &str) -> Result<String, Stop> {
    let url = Url::parse(&resolved(target, page)).ok();
    let is_fit = |url: &Url| match url.scheme() {
        "http" | "https" => url.has_host(),
        "data" => url.path().starts_with("image/"),
        _ => false,
    };
    let fit = url.filter(is_fit).map(String::from);
    fit.ok_or_else(|| InferenceError::BadInput("a picture's address is neither http, https nor data".into()).into())
}

/// What stands around a picture, with a mark where it is.
fn around(markdown: &str, alt: &Range<usize>) -> String {
    let from = markdown.floor_char_boundary(alt.start.saturating_sub(AROUND_BYTES));
    let to = markdown.ceil_char_boundary((alt.end + AROUND_BYTES).min(markdown.len()));
    format!("{}THE PICTURE: {}", &markdown[from..alt.start], &markdown[alt.start..to])
}

fn in_utf16(markdown: &str, described: Vec<(&Picture, String)>) -> Vec<PictureText> {
    let places = utf16_ranges(markdown, described.iter().map(|(picture, _)| picture.alt.clone()));
    let text = |((picture, text), place): ((&Picture, String), Range<usize>)| PictureText {
        start: place.start,
        end: place.end,
        original: markdown[picture.alt.clone()].to_owned(),
        url: picture.target.clone(),
        text,
    };
    described.into_iter().zip(places).map(text).collect()
}

/// The edit that puts it into the Markdown.
pub fn as_correction(it: &PictureText) -> Correction {
    let (start, end, original) = (it.start, it.end, it.original.clone());
    Correction { start, end, original, replacement: escaped(&it.text), reason: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_whole_or_none() {
        let page = "https://ink.example/posts/grinding";
        for (target, expected) in [
            ("https://a.example/b c.png", Some("https://a.example/b%20c.png")),
            ("/media/墨.png", Some("https://ink.example/media/%E5%A2%A8.png")),
            ("stone.png", Some("https://ink.example/posts/stone.png")),
            ("//cdn.example/x.png", Some("https://cdn.example/x.png")),
            ("data:image/png;base64,AAAA", Some("data:image/png;base64,AAAA")),
            ("data:text/html,x", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("http://", None),
        ] {
            assert_eq!(address(page, target).ok().as_deref(), expected, "{target}");
        }
    }
}
