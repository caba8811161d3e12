//! Translations: part by part, as drafts beside the post, and never over somebody's text.

use super::*;
use crate::deeds::post_at;

/// Translates into pirate: each part gets a word before each line that has letters, all else stays.
fn pirate(prompt: &str) -> String {
    let line = |line: &str| {
        let at = line.find(|c: char| c.is_alphabetic()).unwrap_or(line.len());
        let (signs, words) = line.split_at(at);
        if words.is_empty() || signs.contains(['`', '⟦', '[']) {
            line.to_owned()
        } else {
            format!("{signs}Arr {words}")
        }
    };
    shown(prompt).lines().map(line).collect::<Vec<_>>().join("\n")
}

const LONG: &str = "Intro with a [link](https://a.example/x \"title\") and ![a picture](p.png).\n\n## Code\n\n\
    ```rust\nfn main() { println!(\"Intro\"); }\n```\n\n- one `let x = 1;`\n- two\n\n<div class=\"x\">\nraw\n</div>\n\n\
    See https://b.example.\n\n[ref]: https://c.example\n";

#[tokio::test]
async fn a_translation_is_a_draft_that_keeps_what_is_no_prose() {
    let (app, heard) = site_on(Scripted::writing(pirate), &[]).await;
    let original = written(&app, "en", "The title", LONG).await;
    let input = json!({ "id": original, "basedOnVersion": 1, "tags": ["ink", "soot"], "description": "About it." });
    done(&app, &app.tokens.owner, "updatePost", "post { id }", input).await;
    done(&app, &app.tokens.owner, "publishPost", "post { id }", json!({ "id": original })).await;
    let last = last_in(&app, "translate", &original, "de").await;
    let result = &last["result"];
    assert_eq!((&result["language"], &result["keptParts"]), (&json!("de"), &json!(0)), "{last:#}");
    let slug = result["post"]["slug"].as_str().expect("a slug");
    assert_eq!(slug, "arr-the-title");
    let fields = "status language title description markdown publishedAt version tags { slug } translations { id } author { handle }";
    let draft = post_at(&app, Some(&app.tokens.owner), slug, fields).await;
    assert_eq!((&draft["status"], &draft["publishedAt"]), (&json!("DRAFT"), &Value::Null), "nothing is published");
    assert_eq!((&draft["title"], &draft["description"]), (&json!("Arr The title"), &json!("Arr About it.")));
    assert_eq!(draft["tags"], json!([{ "slug": "ink" }, { "slug": "soot" }]));
    assert_eq!(draft["translations"], json!([{ "id": original }]), "they are a pair");
    assert_eq!(draft["author"]["handle"], "edgar", "it is of who asked");
    let markdown = draft["markdown"].as_str().expect("a text");
    let expected = LONG
        .replace("Intro with", "Arr Intro with")
        .replace("## Code", "## Arr Code")
        .replace("- one", "- Arr one")
        .replace("- two", "- Arr two")
        .replace("See https", "Arr See https");
    assert_eq!(markdown, expected);
    assert!(heard.both().0.contains("from English into German"));
    let (_, user) = heard.both();
    assert!(!user.contains("b.example") && user.contains("⟦1⟧"), "addresses are not shown: {user}");
    assert_eq!(post_at(&app, None, slug, "id").await, Value::Null, "readers see none of it");
    let seen = post(&app, None, &original, "translations { id }").await;
    assert_eq!(seen["translations"], json!([]));
}

#[tokio::test]
async fn a_model_that_changes_links_is_not_believed() {
    let evil = |prompt: &str| shown(prompt).replace("(#1)", "(https://evil.example)").replace("Two", "Zwei");
    let (app, _) = site_on(Scripted::writing(evil), &[]).await;
    let code = "```\ncode\n```";
    let markdown = format!("Read [this](https://a.example).\n\n{code}\n\nTwo.");
    let original = written(&app, "en", "Links", &markdown).await;
    let last = last_in(&app, "translate", &original, "de").await;
    assert_eq!(last["result"]["keptParts"], 1, "{last:#}");
    let id = last["result"]["post"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(picture_of(&app, &id).await["markdown"], markdown.replace("Two", "Zwei"));
    let all_lost = written(&app, "en", "Lost", "Read [this](https://a.example).").await;
    let last = last_in(&app, "translate", &all_lost, "de").await;
    assert_eq!(last["code"], "BAD_MODEL_OUTPUT", "{last:#}");
    assert_eq!(picture_of(&app, &all_lost).await["translations"], json!([]));
}

#[tokio::test]
async fn a_post_longer_than_the_model_takes_goes_through_it_in_parts() {
    let (app, heard) = site_on(Scripted::writing(pirate), &[]).await;
    let markdown: String = (0..60).map(|n| format!("Paragraph {n} says something about ink and soot.\n\n")).collect();
    let original = written(&app, "en", "Long", &markdown).await;
    let events = events(&app, Some(&app.tokens.owner), "translate", &original, "de").await;
    let parts = events[0]["parts"].as_u64().expect("a number");
    assert!((4..=30).contains(&parts), "{}", events[0]);
    assert_eq!(heard.count() as u64, parts, "one call a part, and one for the title");
    let told: Vec<u64> =
        events.iter().filter(|it| it["__typename"] == "AssistToken").filter_map(|it| it["part"].as_u64()).collect();
    assert_eq!(told, (0..parts).collect::<Vec<_>>());
    let id = events.last().expect("an end")["result"]["post"]["id"].as_str().expect("an id").to_owned();
    let draft = picture_of(&app, &id).await;
    assert_eq!(draft["markdown"], markdown.replace("Paragraph", "Arr Paragraph").trim_end().to_owned() + "\n\n");
    let (app, _) = site_on(Scripted::writing(pirate), &[]).await;
    let endless = written(&app, "en", "Endless", &"Something about ink and soot.\n\n".repeat(8000)).await;
    let last = last_in(&app, "translate", &endless, "de").await;
    assert_eq!(last["code"], "BAD_USER_INPUT", "{last:#}");
    assert!(last["message"].as_str().is_some_and(|text| text.contains("at most 200")), "{last:#}");
}

#[tokio::test]
async fn a_part_that_a_model_cannot_take_is_made_smaller() {
    let model = Scripted { most_bytes: 900, ..Scripted::writing(pirate) };
    let (app, heard) = site_on(model, &[]).await;
    let markdown = "This is a sentence about ink and soot.\n".repeat(10);
    let original = written(&app, "en", "Long", markdown.trim_end()).await;
    let last = last_in(&app, "translate", &original, "de").await;
    assert_eq!(last["result"]["keptParts"], 0, "{last:#}");
    assert!(heard.count() > 2, "in several parts");
    let id = last["result"]["post"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(picture_of(&app, &id).await["markdown"], markdown.trim_end().replace("This", "Arr This"));
}

#[tokio::test]
async fn a_draft_that_nobody_touched_is_made_anew_and_no_other() {
    let (app, heard) = site_on(Scripted::writing(pirate), &[]).await;
    let original = ink(&app).await;
    let made = async || last_in(&app, "translate", &original, "de").await;
    let first = made().await;
    let id = first["result"]["post"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(picture_of(&app, &id).await["version"], 1);
    let second = made().await;
    assert_eq!(second["result"]["post"]["id"], json!(id), "{second:#}");
    let fields = "version revisions(first: 5) { nodes { version } }";
    let draft = post(&app, Some(&app.tokens.owner), &id, fields).await;
    assert_eq!(draft, json!({ "version": 2, "revisions": { "nodes": [{ "version": 1 }] } }));
    let edit = json!({ "id": id, "basedOnVersion": 2, "title": "Mine" });
    done(&app, &app.tokens.owner, "updatePost", "post { id }", edit).await;
    let before = heard.count();
    let told = events(&app, Some(&app.tokens.owner), "translate", &original, "DE").await;
    assert_eq!(crate::support::code(&told[0]), "BAD_USER_INPUT", "{told:#?}");
    let message = told[0]["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("somebody has worked on") && message.contains("arr-on-grinding"), "{message}");
    let input = json!({ "kind": "TRANSLATION", "postIds": [original], "language": "de" });
    let refused = crate::deeds::refused(&app, Some(&app.tokens.owner), "assistPosts", input).await;
    assert_eq!(refused, json!([["TAKEN", "postIds"]]));
    assert_eq!(heard.count(), before, "no model was asked");
    assert_eq!(picture_of(&app, &id).await["title"], "Mine");
    let same = events(&app, Some(&app.tokens.owner), "translate", &original, "en").await;
    assert_eq!(crate::support::code(&same[0]), "BAD_USER_INPUT");
    let wrong = events(&app, Some(&app.tokens.owner), "translate", &original, "english!").await;
    assert_eq!(crate::support::code(&wrong[0]), "BAD_USER_INPUT");
}

#[tokio::test]
async fn what_is_said_again_is_no_translation() {
    let (app, _) = site_on(Scripted::writing(|prompt| shown(prompt).to_owned()), &[]).await;
    let original = ink(&app).await;
    let last = last_in(&app, "translate", &original, "zh").await;
    assert_eq!(last["code"], "BAD_MODEL_OUTPUT", "{last:#}");
    assert_eq!(picture_of(&app, &original).await["translations"], json!([]));
}
