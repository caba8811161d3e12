//! Atom, RFC 4287.

use chrono::{DateTime, SecondsFormat, Utc};

use super::compose::{Author, Entry, Feed};
use super::xml::Xml;
use super::{Format, GENERATOR, GENERATOR_VERSION};

const NAMESPACE: &str = "http://www.w3.org/2005/Atom";

pub(super) fn write(feed: &Feed) -> String {
    Xml::document("feed", &[("xmlns", NAMESPACE), ("xml:lang", &feed.language)], |xml| {
        xml.text("id", &[], &feed.address);
        xml.text("title", &[], &feed.title);
        xml.text("subtitle", &[], &feed.description);
        xml.text("updated", &[], &date(feed.updated));
        xml.empty("link", &[("rel", "self"), ("type", Format::Atom.media_type()), ("href", &feed.address)]);
        xml.empty("link", &[("rel", "alternate"), ("type", "text/html"), ("href", &feed.home)]);
        xml.text("generator", &[("version", GENERATOR_VERSION)], GENERATOR);
        feed.entries.iter().for_each(|entry| write_entry(xml, feed, entry));
    })
}

fn write_entry(xml: &mut Xml, feed: &Feed, entry: &Entry) {
    xml.element("entry", &[("xml:lang", &entry.language)], |xml| {
        xml.text("id", &[], &entry.id);
        xml.text("title", &[], &entry.title);
        xml.empty(
            "link",
            &[("rel", "alternate"), ("type", "text/html"), ("hreflang", &entry.language), ("href", &entry.address)],
        );
        xml.text("published", &[], &date(entry.published));
        xml.text("updated", &[], &date(entry.updated));
        // An author is required; the site stands in for one that is gone.
        match &entry.author {
            Some(author) => write_author(xml, author),
            None => write_author(xml, &Author { name: feed.title.clone(), address: None }),
        }
        for tag in &entry.tags {
            xml.empty("category", &[("term", &tag.slug), ("label", &tag.name)]);
        }
        xml.text("summary", &[], &entry.summary);
        if let Some(html) = &entry.html {
            xml.text("content", &[("type", "html")], html);
        }
    });
}

fn write_author(xml: &mut Xml, author: &Author) {
    xml.element("author", &[], |xml| {
        xml.text("name", &[], &author.name);
        if let Some(address) = &author.address {
            xml.text("uri", &[], address);
        }
    });
}

fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
