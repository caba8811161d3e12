//! Markdown to HTML that is safe to put into a page, for posts and for comments.
//!
//! May be imported by: `services`, `graphql`, `jobs`. Pure: no I/O, no clock, no randomness; the same
//! text always gives the same HTML. The caller bounds the size of its input (1 MiB); every pass here is
//! linear in it, and what would not be (deep nesting, unclosed raw formatting tags, huge code blocks) is
//! bounded by a constant of its own.
//!
//! The way of a text: comrak parses it → `tree` bounds the nesting and rewrites the nodes → `raw_html`
//! rewrites the author's own tags → comrak prints → `sanitize` checks the whole against the allow-list.
//!
//! To allow one more tag or attribute in posts, add it to `sanitize::POST_TAGS`, which is the only list,
//! and a line to the tests in `features.rs`. To allow one more Markdown extension, switch it on in
//! `options`, and give `sanitize::GENERATED` the attributes that it prints.
//!
//! For front ends: code is coloured by `hl-` classes (Sublime scope atoms); math is
//! `<span data-math-style="inline|display">TeX</span>` (or a `code` element with the same attribute, for
//! a `math` fence), to be given to KaTeX with its default `trust: false`.

mod blocks;
mod excerpt;
mod highlight;
mod lines;
mod raw_html;
mod sanitize;
mod slug;
mod source;
mod tag;
mod tree;

#[cfg(test)]
mod features;
#[cfg(test)]
mod xss;

pub use blocks::{Block, blocks};
pub use lines::{Line, Link, lines};
pub use source::{SourceBlock, source_blocks};

use comrak::nodes::{AstNode, NodeValue};
use comrak::options::Plugins;
use comrak::{Arena, Options, create_formatter, parse_document};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A document of more nodes than this is shown as its source, so that memory stays bounded.
///
/// An ordinary text has about one node per 10 bytes; a hostile table has 4 cells per byte.
const MAX_NODES: usize = 400_000;

/// A post's Markdown, rendered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// Sanitised HTML.
    pub html: String,
    /// The table of contents, in reading order; headings inside quotes and lists are not in it.
    pub outline: Vec<Heading>,
    /// About the first 200 characters of prose as plain text: not HTML, escape it before use.
    pub excerpt: String,
    /// Chinese characters and kana count singly, everything else by words; code blocks not at all.
    pub words: u32,
}

/// One entry of a table of contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heading {
    /// 1 to 6, as written.
    pub level: u8,
    /// The element's id, unique in the post; link to it as `#id`.
    pub id: String,
    /// Plain text: not HTML.
    pub text: String,
}

/// A post's Markdown: CommonMark and GFM, safe to put into a page.
pub fn render_post(markdown: &str) -> Rendered {
    let options = options(Dialect::Post);
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options);
    if !tree::bound(&arena, root, MAX_NODES) {
        return as_source(markdown);
    }
    tree::number_footnotes(root);
    let text = excerpt::collect(root);
    let headings = tree::headings(root);
    raw_html::rewrite(&arena, root);
    let ids = headings.iter().map(|h| h.heading.id.clone()).collect();
    let html = print(root, &options, ids);
    Rendered {
        html: sanitize::post(&html),
        outline: headings.into_iter().filter(|h| h.in_outline).map(|h| h.heading).collect(),
        excerpt: text.excerpt,
        words: text.words,
    }
}

/// A rendered post for a place other than its page, such as a feed: links and images that are
/// relative lead from `address`, the page's own, as they do on the page. Left as they are if that is no
/// URL.
pub fn for_elsewhere(html: &str, address: &str) -> String {
    match ammonia::Url::parse(address) {
        Ok(base) => sanitize::post_elsewhere(html, &base),
        Err(_) => html.to_owned(),
    }
}

/// Where a link on the page at `address` leads.
pub fn resolved(link: &str, address: &str) -> String {
    let base = ammonia::Url::parse(address);
    base.and_then(|base| base.join(link)).map_or_else(|_| link.to_owned(), String::from)
}

/// A comment's Markdown: inline formatting, lists, quotes and code, safe to put into a page.
///
/// Headings become paragraphs, images become links, raw HTML is shown as it was typed, and every link
/// gets `rel="nofollow ugc noopener"`. A line break is a line break, as people expect in a comment.
pub fn render_comment(markdown: &str) -> String {
    let options = options(Dialect::Comment);
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options);
    if !tree::bound(&arena, root, MAX_NODES) {
        return as_source(markdown).html;
    }
    tree::simplify_comment(&arena, root);
    sanitize::comment(&print(root, &options, Vec::new()))
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Post,
    Comment,
}

fn options(dialect: Dialect) -> Options<'static> {
    let post = dialect == Dialect::Post;
    let mut options = Options::default();
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.math_dollars = true;
    // CommonMark's rules for `**` look for spaces, which Chinese does not have: `**重点。**后文`.
    options.extension.cjk_friendly_emphasis = true;
    options.extension.table = post;
    options.extension.tasklist = post;
    options.extension.footnotes = post;
    options.render.tasklist_classes = true;
    options.render.hardbreaks = !post;
    options
}

/// State of the printer: the ids of the headings still to come, in document order.
type HeadingIds = std::vec::IntoIter<String>;

create_formatter!(Printer<HeadingIds>, {
    NodeValue::Heading(ref heading) => |context, entering| {
        if entering {
            context.cr()?;
            match context.user.next() {
                Some(id) => write!(context, "<h{} id=\"{id}\">", heading.level)?,
                None => write!(context, "<h{}>", heading.level)?,
            }
        } else {
            writeln!(context, "</h{}>", heading.level)?;
        }
    },
});

fn print<'a>(root: &'a AstNode<'a>, options: &Options<'_>, ids: Vec<String>) -> String {
    let highlighter = highlight::Highlighter::default();
    let mut plugins = Plugins::default();
    plugins.render.codefence_syntax_highlighter = Some(&highlighter);
    let mut html = String::new();
    Printer::format_document_with_plugins(root, options, &mut html, &plugins, ids.into_iter())
        .expect("writing into a String does not fail");
    html
}

/// What a document over `MAX_NODES` becomes.
fn as_source(markdown: &str) -> Rendered {
    let mut html = String::from("<pre><code>");
    raw_html::escape_text(&mut html, markdown);
    html.push_str("</code></pre>");
    Rendered { html, outline: Vec::new(), excerpt: excerpt::cut(markdown), words: excerpt::count_words(markdown) }
}
