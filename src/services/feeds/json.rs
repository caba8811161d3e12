//! JSON Feed 1.1, as jsonfeed.org describes it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::compose::{Author, Entry, Feed};

#[derive(Serialize)]
struct JsonFeed<'a> {
    version: &'static str,
    title: &'a str,
    home_page_url: &'a str,
    feed_url: &'a str,
    description: &'a str,
    language: &'a str,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    url: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_html: Option<&'a str>,
    /// One of the two contents is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_text: Option<&'a str>,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
    date_published: DateTime<Utc>,
    date_modified: DateTime<Utc>,
    authors: Vec<Person<'a>>,
    tags: Vec<&'a str>,
    language: &'a str,
}

#[derive(Serialize)]
struct Person<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

pub(super) fn write(feed: &Feed) -> String {
    let whole = JsonFeed {
        version: "https://jsonfeed.org/version/1.1",
        title: &feed.title,
        home_page_url: &feed.home,
        feed_url: &feed.address,
        description: &feed.description,
        language: &feed.language,
        items: feed.entries.iter().map(item).collect(),
    };
    serde_json::to_string(&whole).expect("it holds texts and dates only, and no map")
}

fn item(entry: &Entry) -> Item<'_> {
    Item {
        id: &entry.id,
        url: &entry.address,
        title: &entry.title,
        content_html: entry.html.as_deref(),
        content_text: entry.html.is_none().then_some(&entry.summary),
        summary: &entry.summary,
        image: entry.image.as_deref(),
        date_published: entry.published,
        date_modified: entry.updated,
        authors: entry.author.iter().map(person).collect(),
        tags: entry.tags.iter().map(|tag| tag.name.as_str()).collect(),
        language: &entry.language,
    }
}

fn person(author: &Author) -> Person<'_> {
    Person { name: &author.name, url: author.address.as_deref() }
}
