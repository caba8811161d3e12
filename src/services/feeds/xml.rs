//! XML that every parser reads, whatever the text in it.

use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

type Attributes<'a> = &'a [(&'a str, &'a str)];

/// A document as it is being written. Text and values of attributes are escaped, and lose the characters
/// that XML 1.0 cannot hold in any spelling.
pub(super) struct Xml(Writer<Vec<u8>>);

impl Xml {
    /// A document of one element with what `inside` writes.
    pub fn document(root: &str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self(Writer::new_with_indent(Vec::new(), b' ', 1));
        xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml.element(root, attributes, inside);
        let mut text = String::from_utf8(xml.0.into_inner()).expect("it was written from strings");
        text.push('\n');
        text
    }

    /// An element with what `inside` writes.
    pub fn element(&mut self, name: &str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Self)) {
        self.event(Event::Start(start(name, attributes)));
        inside(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// An element with text.
    pub fn text(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        // Quotes are no markup in text, and html is full of them.
        let escaped = partial_escape(legal(text));
        self.element(name, attributes, |xml| xml.event(Event::Text(BytesText::from_escaped(escaped))));
    }

    /// An element without content.
    pub fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.event(Event::Empty(start(name, attributes)));
    }

    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("memory takes every byte");
    }
}

fn start<'a>(name: &'a str, attributes: Attributes<'_>) -> BytesStart<'a> {
    let mut start = BytesStart::new(name);
    for (name, value) in attributes {
        start.push_attribute((*name, &*legal(value)));
    }
    start
}

/// The text without the characters that XML 1.0 forbids (section 2.2), also as references.
fn legal(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_legal) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|c| is_legal(*c)).collect())
}

fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::escape::unescape;

    use super::*;

    fn written(text: &str) -> String {
        Xml::document("a", &[("b", text)], |xml| {
            xml.text("c", &[], text);
            xml.empty("d", &[("e", text)]);
        })
    }

    /// What a parser finds: the text of `c`, and the attributes of `a` and `d`.
    fn read(document: &str) -> (String, Vec<String>) {
        let mut reader = Reader::from_str(document);
        let (mut inside, mut text, mut values) = (false, String::new(), Vec::new());
        loop {
            match reader.read_event().expect("it should parse") {
                Event::Start(tag) | Event::Empty(tag) => {
                    inside = tag.name().as_ref() == "c";
                    for attribute in tag.attributes() {
                        let raw = attribute.expect("a whole attribute").value;
                        values.push(unescape(&raw).expect("known references").into_owned());
                    }
                }
                Event::Text(part) if inside => text.push_str(&part.into_inner()),
                Event::GeneralRef(name) if inside => text.push_str(&format!("&{};", name.into_inner())),
                Event::End(_) => inside = false,
                Event::Eof => return (unescape(&text).expect("known references").into_owned(), values),
                _ => {}
            }
        }
    }

    #[test]
    fn markup_in_text_stays_text() {
        let text = "<b>&amp; ]]> <![CDATA[x]]> -->\" ' 墨未干 🖌 \u{85}\u{2028}";
        assert_eq!(read(&written(text)), (text.to_owned(), vec![text.to_owned(); 2]));
    }

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        let forbidden: String = (0..0x20u8).map(char::from).filter(|c| !"\t\n\r".contains(*c)).collect();
        let (text, values) = read(&written(&format!("a{forbidden}\u{fffe}\u{ffff}b")));
        assert_eq!((text.as_str(), values[0].as_str()), ("ab", "ab"));
        assert_eq!(legal("\u{7f}\u{fffd}\u{10ffff}"), "\u{7f}\u{fffd}\u{10ffff}", "allowed, if discouraged");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*|(\\PC|[\\x00-\\x20<>&\"'\\]\\[!])*") {
            let document = written(&text);
            prop_assert!(document.chars().all(is_legal), "only characters that XML holds: {document:?}");
            let (found, values) = read(&document);
            let kept = legal(&text);
            prop_assert_eq!(found, kept.as_ref());
            prop_assert_eq!(values, vec![kept.as_ref(), kept.as_ref()]);
        }
    }
}
