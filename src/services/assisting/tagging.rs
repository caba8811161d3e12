//! Tags for a post: the site's own by name and by meaning, which takes no model that writes; and
//! where one does, those that it names.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::answers::{one_line, parsed};
use super::work::{Stop, Task, Work};
use super::{AssistFailure, SuggestedTag, Suggestion};
use crate::inference::Task as ModelTask;
use crate::inference::{EmbedRequest, InferenceError, Overlong, TextKind, Usage};
use crate::services::chatting::least_similarity;
use crate::services::indexing::cut;
use crate::services::slug::slugify;
use crate::services::words::{Form, fold, tokens};
use crate::store::post_vectors;
use crate::store::tags::{self, TagRow};

/// Tags of the site that are looked at: those that most posts carry.
const MAX_KNOWN: i64 = 300;
/// Tags that are near by meaning alone.
const MAX_NEAR: usize = 5;
/// Most tags that a model may name, and the longest.
const MAX_NAMED: usize = 5;
const MAX_CHARS: usize = 60;
/// Most suggestions in all.
const MAX_TAGS: usize = 10;
/// Tags that a model is told of.
const MAX_TOLD: usize = 40;
/// Pieces of a draft that are read to find out what it means.
const MAX_PIECES: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    tags: Vec<String>,
}

pub async fn make(work: &mut Work) -> Result<Suggestion, Stop> {
    work.start(1).await?;
    let mut known = tags::most_used(&mut *work.services.db.conn().await?, MAX_KNOWN).await?;
    let similarity = similarities(work, &known).await?;
    let near = |tag: &TagRow| similarity.get(&tag.id).copied().unwrap_or(f32::MIN);
    // Most like the post first; where nothing is known of that, the most used.
    known.sort_by(|a, b| near(b).total_cmp(&near(a)));
    let text = format!("{}\n{}", work.source.row.title, work.source.markdown);
    let words: Vec<String> = tokens(&text).into_iter().map(|token| token.form.text().to_owned()).collect();
    let least = least_similarity(&work.services.engine.models());
    let (named, other): (Vec<&TagRow>, Vec<&TagRow>) = known.iter().partition(|tag| is_named(tag, &words));
    let likely = other.into_iter().filter(|tag| near(tag) >= least).take(MAX_NEAR);
    let mut chosen: Vec<SuggestedTag> = named.into_iter().chain(likely).map(|tag| existing(tag, &similarity)).collect();
    for name in by_model(work, &known).await? {
        chosen.push(match known.iter().find(|tag| is_called(tag, &name)) {
            Some(tag) => existing(tag, &similarity),
            None => SuggestedTag { slug: slugify(&name), name, tag_id: None, similarity: None },
        });
    }
    let has: HashSet<String> = work.source.tags.iter().map(|tag| tag.slug.clone()).collect();
    Ok(Suggestion::Tags { tags: each_once(chosen, has) })
}

fn existing(tag: &TagRow, similarity: &HashMap<Uuid, f32>) -> SuggestedTag {
    let (name, slug) = (tag.name.clone(), tag.slug.clone());
    SuggestedTag { name, slug, tag_id: Some(tag.id), similarity: similarity.get(&tag.id).copied() }
}

/// Without those that the post has.
fn each_once(chosen: Vec<SuggestedTag>, mut seen: HashSet<String>) -> Vec<SuggestedTag> {
    let new = |tag: &SuggestedTag| seen.insert(tag.slug.clone());
    let mut tags: Vec<_> = chosen.into_iter().filter(new).collect();
    tags.truncate(MAX_TAGS);
    tags
}

/// What a tag is called: `Small tools · 小工具` is two names.
fn names(tag: &TagRow) -> impl Iterator<Item = &str> {
    tag.name.split(['·', '/', '|']).map(str::trim).chain([tag.slug.as_str()]).filter(|name| !name.is_empty())
}

fn is_called(tag: &TagRow, name: &str) -> bool {
    slugify(name) == tag.slug || names(tag).chain([tag.name.as_str()]).any(|own| fold(own) == fold(name))
}

/// Whether one of a tag's names stands among the words of a text.
fn is_named(tag: &TagRow, words: &[String]) -> bool {
    names(tag).any(|name| {
        let mut own = tokens(name);
        // The last character of a Chinese name begins another pair in a text.
        if own.len() > 1 && matches!(own.last().map(|last| &last.form), Some(Form::Single(_))) {
            own.pop();
        }
        match own.as_slice() {
            [] => false,
            [only] if matches!(only.form, Form::Single(_)) => words.iter().any(|word| word == only.form.text()),
            own => words.windows(own.len()).any(|part| part.iter().zip(own).all(|(word, it)| word == it.form.text())),
        }
    })
}

/// How near each tag's name is to the post. Nothing where no model reads now.
async fn similarities(work: &mut Work, known: &[TagRow]) -> Result<HashMap<Uuid, f32>, Stop> {
    let model = work.services.engine.deployed(ModelTask::Embed).map(|card| card.name());
    let Some(model) = model.filter(|_| !known.is_empty()) else { return Ok(HashMap::new()) };
    let id = work.source.row.id;
    let kept = post_vectors::of_post(&mut *work.services.db.conn().await?, &model, id).await?;
    let post = match kept {
        Some(vector) => Some(vec![vector]),
        None => {
            // A draft: nobody has read it for search.
            let markdown = work.source.markdown.clone();
            let pieces = tokio::task::spawn_blocking(move || cut(&markdown)).await.unwrap_or_default();
            let title = work.source.row.title.clone();
            let texts = pieces.iter().take(MAX_PIECES).map(|piece| piece.for_model(&title)).collect();
            embed(work, &model, texts, TextKind::Passage).await
        }
    };
    let texts = known.iter().map(|tag| tag.name.clone()).collect();
    let (Some(post), Some(vectors)) = (post, embed(work, &model, texts, TextKind::Query).await) else {
        work.degraded = true;
        return Ok(HashMap::new());
    };
    let mean = mean(&post);
    Ok(known.iter().map(|tag| tag.id).zip(vectors.iter().map(|vector| cosine(&mean, vector))).collect())
}

/// Vectors by this model; none where it does not answer now.
async fn embed(work: &mut Work, model: &str, texts: Vec<String>, kind: TextKind) -> Option<Vec<Vec<f32>>> {
    let request = EmbedRequest { texts, kind, overlong: Overlong::Cut, ..EmbedRequest::default() };
    match work.services.engine.embed(Some(model), request).await {
        Ok(done) if done.model == model => {
            work.count(Usage { prompt_tokens: done.prompt_tokens, ..Usage::default() }).await;
            Some(done.vectors)
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "tags are not looked for by their meaning");
            None
        }
    }
}

fn mean(vectors: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    sum
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}

/// What a model calls the post. Nothing where there is none that writes.
async fn by_model(work: &mut Work, known: &[TagRow]) -> Result<Vec<String>, Stop> {
    let told: Vec<&str> = known.iter().take(MAX_TOLD).map(|tag| tag.name.as_str()).collect();
    let told = if told.is_empty() { "there are none yet".to_owned() } else { told.join(", ") };
    let name = json!({ "type": "string", "minLength": 1, "maxLength": MAX_CHARS });
    let schema = json!({
        "type": "object",
        "properties": { "tags": { "type": "array", "items": name, "maxItems": MAX_NAMED } },
        "required": ["tags"],
        "additionalProperties": false,
    });
    let task = Task {
        file: "tags.txt",
        built_in: include_str!("prompts/tags.txt"),
        values: &[("{tags}", &told)],
        order: "Write the JSON with the tags.",
        max_tokens: 160,
        schema: Some(schema),
        picture: None,
    };
    match work.write_of_post(&task).await {
        Ok(written) => checked(parsed::<Answer>(&written.text)?.tags),
        Err(Stop::Failure(AssistFailure::Inference(InferenceError::NoModel { .. }))) => {
            work.degraded = true;
            Ok(Vec::new())
        }
        Err(other) => Err(other),
    }
}

/// Names that could be tags.
fn checked(names: Vec<String>) -> Result<Vec<String>, Stop> {
    if names.len() > MAX_NAMED || names.iter().any(|name| name.chars().count() > MAX_CHARS) {
        return Err(Stop::bad_output("it has more tags than were asked for, or longer ones"));
    }
    let names = names.iter().map(|name| one_line(name.trim().trim_start_matches('#')));
    Ok(names.filter(|name| !slugify(name).is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, slug: &str) -> TagRow {
        let (id, created_at) = (Uuid::now_v7(), chrono::DateTime::UNIX_EPOCH);
        TagRow { id, slug: slug.into(), name: name.into(), description: String::new(), demo: false, created_at }
    }

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.form.text().to_owned()).collect()
    }

    #[test]
    fn a_tag_is_known_by_each_of_its_names() {
        let tools = tag("Small tools · 小工具", "small-tools");
        for (text, expected) in [
            ("We like SMALL Tools.", true),
            ("small but no tools", false),
            ("这是一个小工具箱", true),
            ("小的工具", false),
            ("the tag small-tools", true),
        ] {
            assert_eq!(is_named(&tools, &words(text)), expected, "{text}");
        }
        assert!(is_named(&tag("Café", "cafe"), &words("in a cafe")));
        assert!(is_named(&tag("C++", "c"), &words("I write C++.")));
        assert!(is_called(&tools, "小工具") && is_called(&tools, "small tools") && !is_called(&tools, "tools"));
    }

    #[test]
    fn names_are_bounded_and_each_once() {
        assert!(checked(vec!["x".into(); 6]).is_err() && checked(vec!["x".repeat(61)]).is_err());
        assert_eq!(checked(vec!["#ink ".into(), "!".into()]).ok(), Some(vec!["ink".to_owned()]));
        let new = |name: &str| SuggestedTag { name: name.into(), slug: slugify(name), tag_id: None, similarity: None };
        let kept = each_once(vec![new("Ink"), new("ink"), new("Soot")], HashSet::from(["soot".to_owned()]));
        assert_eq!(kept, [new("Ink")]);
    }

    #[test]
    fn likeness_does_not_depend_on_length() {
        assert!((cosine(&mean(&[vec![1.0, 0.0], vec![0.0, 1.0]]), &[3.0, 3.0]) - 1.0).abs() < 1e-6);
        assert!(cosine(&[], &[1.0]).abs() < 1e-6);
    }
}
