//! An answer in the site's own words, for when no model writes one: the sentences that are nearest
//! to the question, each with what follows it.
//!
//! Sentences are weighed by the model that reads for search, and by the words that they share with
//! the question; where it does not answer in time, by the words alone.

use std::time::Duration;

use super::language::{Language, is_han};
use super::prompt::Shown;
use crate::inference::{EmbedRequest, Engine, InferenceError, Overlong, TextKind, Usage};
use crate::services::indexing::sentences;
use crate::services::prompting::{about_tokens, cut, one_line};
use crate::services::searching::passages::Terms;

/// Passages that are quoted from: those behind them hardly answer.
const PASSAGES: usize = 3;
/// Sentences that are weighed. Each is read by a model.
const SENTENCES: usize = 32;
/// Quotes of an answer, each of another passage.
const QUOTES: usize = 2;
/// A quote goes on to the next sentence while it has no more columns; a Chinese character takes two.
const QUOTE_COLUMNS: usize = 280;
/// A longer sentence is cut.
const SENTENCE_CHARS: usize = 500;
/// A shorter sentence is a heading, an item of a list or an exclamation.
const LEAST_COLUMNS: usize = 16;
/// What all of the question's words in a sentence are worth, in cosines of the model that reads.
const WORDS: f32 = 0.03;
/// What each passage before it takes from a sentence: whole passages are weighed better than sentences.
const LATER: f32 = 0.015;
/// A second quote says so much of what the first one does, or it is left out.
const NEXT_BEST: f32 = 0.985;
/// How long the model that reads may take.
const WAIT: Duration = Duration::from_secs(2);

/// A sentence of a passage, and what it weighs.
struct Weighed<'a> {
    /// Which passage it is of, from 0.
    passage: usize,
    /// With all that follows it in the passage.
    from: &'a str,
    text: &'a str,
    weight: f32,
}

/// The answer, part by part: the first says whose words these are. `passages` are those that are
/// cited, in the order of their numbers. What was `said` before is not quoted again, while there is more.
///
/// `spent` is what a model took for it so far, also where nobody waits for it any more.
pub async fn quote(
    engine: &Engine,
    question: &str,
    passages: &[Shown],
    said: &str,
    language: Language,
    spent: &mut Usage,
) -> Vec<String> {
    let all: Vec<Weighed<'_>> = passages
        .iter()
        .enumerate()
        .take(PASSAGES)
        .flat_map(|(n, shown)| prose(&shown.text).map(move |(from, text)| (n, from, text)))
        .take(SENTENCES)
        .map(|(passage, from, text)| Weighed { passage, from, text, weight: 0.0 })
        .collect();
    let (again, mut weighed): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|it| said.contains(&uncited(&one_line(it.text))));
    if weighed.is_empty() {
        weighed = again;
    }
    weigh(engine, question, passages, &mut weighed, spent).await;
    weighed.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let mut parts = vec![language.quoting().to_owned()];
    let mut quoted: Vec<(usize, String)> = Vec::new();
    let least = weighed.first().map_or(0.0, |best| best.weight * NEXT_BEST);
    for Weighed { passage, from, text, .. } in weighed.iter().take_while(|it| it.weight >= least) {
        let again = quoted.iter().any(|(other, said)| other == passage || said.contains(text));
        if !again && quoted.len() < QUOTES {
            quoted.push((*passage, going_on(from)));
        }
    }
    if let (true, Some(first)) = (quoted.is_empty(), passages.first()) {
        // A table, or code.
        quoted.push((0, one_line(cut(&first.text, QUOTE_COLUMNS))));
    }
    parts.extend(quoted.into_iter().map(|(passage, text)| format!("\n\n“{}” [{}]", uncited(&text), passage + 1)));
    parts
}

async fn weigh(engine: &Engine, question: &str, passages: &[Shown], weighed: &mut [Weighed<'_>], spent: &mut Usage) {
    let terms = Terms::of(question);
    let texts: Vec<&str> = weighed.iter().map(|it| it.text).collect();
    // Until the model says how many there were.
    spent.prompt_tokens = texts.iter().chain([&question]).map(|text| about_tokens(text)).sum();
    let near = match tokio::time::timeout(WAIT, similarities(engine, question, &texts)).await {
        Ok(Ok((near, read))) => {
            spent.prompt_tokens = read;
            near
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "words alone choose what is quoted");
            spent.prompt_tokens = 0;
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let words = if near.is_empty() { 1.0 } else { WORDS };
    for (n, it) in weighed.iter_mut().enumerate() {
        let shared = terms.share_in(it.text, &passages[it.passage].language);
        it.weight = near.get(n).copied().unwrap_or(0.0) + words * shared - LATER * it.passage as f32;
    }
}

/// Cosines of the question with each text, and the tokens of all.
async fn similarities(engine: &Engine, question: &str, texts: &[&str]) -> Result<(Vec<f32>, usize), InferenceError> {
    if texts.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let request =
        |texts: Vec<String>, kind| EmbedRequest { texts, kind, overlong: Overlong::Cut, ..EmbedRequest::default() };
    let asked = engine.embed(None, request(vec![question.to_owned()], TextKind::Query)).await?;
    let read = engine.embed(None, request(texts.iter().map(|&text| text.to_owned()).collect(), TextKind::Passage));
    let read = read.await?;
    let tokens = asked.prompt_tokens + read.prompt_tokens;
    let asked = asked.vectors.into_iter().next().unwrap_or_default();
    let cosine = |vector: Vec<f32>| vector.iter().zip(&asked).map(|(a, b)| a * b).sum();
    Ok((read.vectors.into_iter().map(cosine).collect(), tokens))
}

/// The sentences that are prose, each with the text from there on. A line of code or of a table does
/// not end as a sentence does.
fn prose(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut at = 0;
    sentences(text).into_iter().filter_map(move |sentence| {
        let from = &text[at..];
        at += sentence.len();
        let sentence = sentence.trim();
        is_prose(sentence).then_some((from.trim_start(), sentence))
    })
}

fn is_prose(sentence: &str) -> bool {
    let bare = sentence.trim_end_matches(['"', '\'', '”', '’', '」', '』', ')', '）', '*', '_']);
    bare.ends_with(['.', '!', '?', '。', '！', '？', '；', '…']) && columns(sentence) >= LEAST_COLUMNS
}

/// The sentence that a text begins with, and those behind it that belong to it and for which there is room.
fn going_on(text: &str) -> String {
    let mut quote = String::new();
    for sentence in sentences(text) {
        let (bare, is_first) = (sentence.trim(), quote.is_empty());
        if !is_first && (!is_prose(bare) || columns(&quote) + columns(bare) > QUOTE_COLUMNS) {
            break;
        }
        quote.push_str(cut(sentence, SENTENCE_CHARS));
        // The paragraph is at its end.
        if sentence.ends_with('\n') {
            break;
        }
    }
    one_line(&quote)
}

/// A number in brackets that stands in the text would be read as that of a passage.
fn uncited(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        out.push_str(before);
        match bracket[1..].split_once(']').filter(|(n, _)| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit())) {
            Some((n, after)) => {
                out.extend(["(", n, ")"]);
                rest = after;
            }
            None => {
                out.push('[');
                rest = &bracket[1..];
            }
        }
    }
    out + rest
}

fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_han(c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::inference::fake::Fake;
    use crate::inference::{SharedBackend, Task};

    fn shown(text: &str) -> Shown {
        Shown { heading: "A post".into(), text: text.into(), language: "en".into() }
    }

    async fn quoted(engine: &Engine, question: &str, texts: &[&str]) -> String {
        let passages: Vec<Shown> = texts.iter().copied().map(shown).collect();
        quote(engine, question, &passages, "", Language::of(question), &mut Usage::default()).await.concat()
    }

    #[tokio::test]
    async fn what_was_said_is_not_quoted_again_while_there_is_more() {
        let passages = [shown("Two hives of honeybees stand there.\n\nBees swarm in May, when it is [1] warm.")];
        let (engine, mut said) = (Engine::default(), String::new());
        for part in ["“Two hives of honeybees stand there.”", "“Bees swarm in May, when it is (1) warm.”", "“Two hives"]
        {
            let mut spent = Usage::default();
            let asked = quote(&engine, "hives of honeybees?", &passages, &said, Language::English, &mut spent);
            let answer = asked.await.concat();
            assert!(answer.contains(part), "{part} in {answer}");
            said.push_str(&answer);
        }
    }

    #[tokio::test]
    async fn the_sentence_that_answers_is_quoted_with_its_number_and_what_follows() {
        let texts = [
            "Nothing here is about the question at all, really.",
            "Tea is brewed in the morning. Green tea wants water of eighty degrees. Black tea takes it boiling.\nfn brew() {}",
        ];
        let reads = Engine::of([Arc::new(Fake::new(Task::Embed)) as SharedBackend]);
        for (engine, question) in [
            (Engine::default(), "How many degrees does water for green tea have?"),
            (reads, "Of eighty degrees, green tea wants water."),
        ] {
            assert_eq!(
                quoted(&engine, question, &texts).await,
                "The nearest to that on this site:\n\n“Green tea wants water of eighty degrees. Black tea takes it boiling.” [2]"
            );
        }
    }

    #[tokio::test]
    async fn what_has_no_sentences_is_quoted_from_its_beginning() {
        let answer = quoted(&Engine::default(), "表", &["a | b\n1 | 2"]).await;
        assert_eq!(answer, "站内最接近的内容：\n\n“a | b 1 | 2” [1]");
        assert_eq!(quoted(&Engine::default(), "nothing?", &[]).await, "The nearest to that on this site:");
    }

    #[tokio::test]
    async fn a_number_in_brackets_is_no_citation() {
        let answer = quoted(&Engine::default(), "ink", &["Ink is old [2], see [12] and a[i] [] [x [3]."]).await;
        assert_eq!(answer, "The nearest to that on this site:\n\n“Ink is old (2), see (12) and a[i] [] [x (3).” [1]");
    }

    #[tokio::test]
    async fn a_quote_has_a_bound_and_two_do_not_say_the_same() {
        let long = "A word about ink and water and stone that goes on. ".repeat(40);
        let same = "A word about ink and water and stone that goes on.";
        let answer = quoted(&Engine::default(), "ink water stone", &[&long, same]).await;
        assert!(answer.len() < 2 * QUOTE_COLUMNS, "{answer}");
        assert_eq!(answer.matches('“').count(), 1, "{answer}");
        let endless = format!("Ink {}.", "x".repeat(5_000));
        let answer = quoted(&Engine::default(), "ink", &[&endless]).await;
        assert!(answer.len() < SENTENCE_CHARS + 100, "{answer}");
    }
}
