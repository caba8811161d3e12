//! RSS 2.0, as rssboard.org describes it, with the usual additions for whole texts and authors.

use chrono::SecondsFormat;
use quick_xml::escape::partial_escape;

use super::compose::{Entry, Feed};
use super::xml::Xml;
use super::{Format, GENERATOR, GENERATOR_VERSION};

const NAMESPACES: &[(&str, &str)] = &[
    ("version", "2.0"),
    ("xmlns:atom", "http://www.w3.org/2005/Atom"),
    ("xmlns:content", "http://purl.org/rss/1.0/modules/content/"),
    ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
];

pub(super) fn write(feed: &Feed) -> String {
    Xml::document("rss", NAMESPACES, |xml| {
        xml.element("channel", &[], |xml| {
            xml.text("title", &[], &feed.title);
            xml.text("link", &[], &feed.home);
            xml.text("description", &[], &feed.description);
            xml.text("language", &[], &feed.language);
            xml.text("lastBuildDate", &[], &feed.updated.to_rfc2822());
            xml.text("generator", &[], &format!("{GENERATOR} {GENERATOR_VERSION}"));
            let media_type = Format::Rss.media_type();
            xml.empty("atom:link", &[("rel", "self"), ("type", media_type), ("href", &feed.address)]);
            feed.entries.iter().for_each(|entry| item(xml, entry));
        });
    })
}

fn item(xml: &mut Xml, entry: &Entry) {
    xml.element("item", &[], |xml| {
        xml.text("title", &[], &entry.title);
        xml.text("link", &[], &entry.address);
        xml.text("guid", &[("isPermaLink", "false")], &entry.id);
        xml.text("pubDate", &[], &entry.published.to_rfc2822());
        xml.text("atom:updated", &[], &entry.updated.to_rfc3339_opts(SecondsFormat::Secs, true));
        // `author` would have to be an e-mail address.
        if let Some(author) = &entry.author {
            xml.text("dc:creator", &[], &author.name);
        }
        xml.text("dc:language", &[], &entry.language);
        entry.tags.iter().for_each(|tag| xml.text("category", &[], &tag.name));
        // Readers show it as html.
        xml.text("description", &[], &partial_escape(&entry.summary));
        if let Some(html) = &entry.html {
            xml.text("content:encoded", &[], html);
        }
    });
}
