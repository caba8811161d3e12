//! From the text of a file to a post.

use std::path::Path;

use super::{
    Document, FileProblem, MAX_FILE_BYTES, Problem,
    fields::{self, Field, Fields, Node, normal_name},
    front_matter,
    heading::take_heading,
    line_of,
    names::{PathFacts, kind_of, language_tag, path_facts, stable_hash},
    places::Places,
};
use crate::services::slug::slugify;

/// The post in `text`, which is the file `path` of the folder `root`.
///
/// Title, slug, date, language, kind and draft that the front matter leaves open come from the
/// first heading and the path; with it comes where the fields stand in the file. Errors: the first
/// thing that is wrong, with its line in the file.
pub fn parse(root: &Path, path: &Path, text: &str) -> Result<(Document, Places), FileProblem> {
    build(&path_facts(root, path), text).map_err(|problem| problem.in_file(path))
}

/// `\n` line ends, and no blank lines around: what [`Document::markdown`] holds.
pub(super) fn normal_body(text: &str) -> String {
    let text = normal_line_ends(text);
    let mut body = text.as_str();
    // Whole lines only: the indentation of the first one with text is code.
    while let Some((line, rest)) = body.split_once('\n')
        && line.chars().all(|c| matches!(c, ' ' | '\t'))
    {
        body = rest;
    }
    body.trim_end_matches([' ', '\t', '\n']).to_owned()
}

fn normal_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn build(facts: &PathFacts, text: &str) -> Result<(Document, Places), Problem> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("is larger than {} KiB; split it", MAX_FILE_BYTES / 1024);
        return Err(Problem { line: None, message });
    }
    let raw = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = normal_line_ends(raw);
    if let Some(at) = text.find('\0') {
        return Err(Problem::at(line_of(&text, at), "holds a NUL character; remove it"));
    }
    let (fields, body) = front_matter::split(&text)?;
    let mut fields = Fields::new(fields);
    let exact = take_verbatim(&mut fields).then(|| verbatim(raw, &text, body)).flatten();
    let markdown = exact.unwrap_or_else(|| normal_body(body));
    let mut document = Document { markdown, ..Document::default() };
    take_title_and_slug(&mut document, &mut fields, facts)?;
    take_dates(&mut document, &mut fields, facts)?;
    take_place(&mut document, &mut fields, facts)?;
    take_tags(&mut document, &mut fields, facts)?;
    take_rest(&mut document, &mut fields)?;
    let nested = match fields.take(fields::CUSTOM) {
        Some(Field { node: Node::Map(map), .. }) => map,
        Some(Field { key, node, .. }) => vec![(key, node)],
        None => Vec::new(),
    };
    let places = fields.into_custom(&mut document.custom);
    document.custom.extend(nested.into_iter().map(|(key, node)| (key, node.into_value())));
    Ok((document, places))
}

/// True if the file was written with its body as it is. Any other value is a custom field.
fn take_verbatim(fields: &mut Fields) -> bool {
    let said = fields.peek(fields::VERBATIM).is_some_and(|field| matches!(field.boolean(), Ok(true)));
    said && fields.take(fields::VERBATIM).is_some()
}

/// The body between the blank line above it and the line end below it, as `to_markdown` wrote it;
/// `None` for a file whose line ends were changed since.
fn verbatim(raw: &str, text: &str, body: &str) -> Option<String> {
    let front = &text[..text.len() - body.len()];
    let body = raw.strip_prefix(front)?.strip_prefix('\n')?;
    Some(body.strip_suffix('\n')?.to_owned())
}

fn take_title_and_slug(document: &mut Document, fields: &mut Fields, facts: &PathFacts) -> Result<(), Problem> {
    let given = match fields.take(fields::TITLE) {
        Some(field) => field.line_text()?,
        None => None,
    };
    document.title = match given.or_else(|| take_heading(&mut document.markdown)) {
        Some(title) => title,
        None => title_of_name(&facts.name),
    };
    let slug = match fields.take(fields::SLUG) {
        Some(field) => field.text()?,
        None => None,
    };
    let address = fields.peek(fields::ADDRESS).and_then(|field| {
        let name = last_segment(&field.main_text().0?)?;
        Some((name, field.key.clone(), field.line))
    });
    if let (None, Some((_, key, line))) = (&slug, &address) {
        fields.note("slug", key, *line);
    }
    let address = address.map(|(name, ..)| name);
    let candidates = [slug, address, Some(facts.name.clone()), Some(document.title.clone())];
    document.slug = candidates
        .into_iter()
        .flatten()
        .map(|text| slugify(&text))
        .find(|slug| !slug.is_empty())
        .unwrap_or_else(|| format!("post-{:08x}", stable_hash(&document.title) as u32));
    Ok(())
}

fn take_dates(document: &mut Document, fields: &mut Fields, facts: &PathFacts) -> Result<(), Problem> {
    document.date = match fields.take(fields::DATE) {
        Some(field) => Some(field.date()?),
        None => facts.date,
    };
    if let Some(field) = fields.take(fields::UPDATED) {
        document.updated = Some(field.date()?);
    }
    // Others may mean something else by the name: then it stays a custom field.
    if fields.peek(fields::CREATED).is_some_and(|field| field.date().is_ok())
        && let Some(field) = fields.take(fields::CREATED)
    {
        document.created = Some(field.date()?);
    }
    document.draft = facts.draft;
    // Jekyll and Hexo write `published: false`; elsewhere the field holds a date.
    if let Some(field) = fields.take(fields::PUBLISHED) {
        match field.boolean() {
            Ok(published) => document.draft = !published,
            Err(_) if document.date.is_none() => document.date = Some(field.date()?),
            Err(_) => fields.put_back(field),
        }
    }
    if let Some(field) = fields.take(fields::DRAFT) {
        document.draft = field.boolean()?;
    }
    take_status(document, fields);
    Ok(())
}

/// Two words of ours in a field that others use as they like.
fn take_status(document: &mut Document, fields: &mut Fields) {
    let word = fields.peek(fields::STATUS).and_then(|field| field.main_text().0).map(|word| word.to_lowercase());
    match word.as_deref() {
        Some("archived") => document.archived = true,
        Some("draft") => document.draft = true,
        _ => return,
    }
    fields.take(fields::STATUS);
}

fn take_place(document: &mut Document, fields: &mut Fields, facts: &PathFacts) -> Result<(), Problem> {
    document.language = match fields.take(fields::LANGUAGE) {
        Some(field) => match field.text()? {
            Some(text) => {
                Some(language_tag(&text).ok_or_else(|| field.expected("a language tag such as en or zh-CN"))?)
            }
            None => None,
        },
        None => facts.language.clone(),
    };
    let kind = match fields.take(fields::KIND) {
        Some(field) => match field.text()? {
            Some(word) => Some(kind_of(&word).ok_or_else(|| field.expected("article, note, page or project"))?),
            None => None,
        },
        None => None,
    };
    let layout = || kind_of(&fields.peek(fields::LAYOUT)?.main_text().0?);
    document.kind = kind.or_else(layout).or(facts.kind).map(str::to_owned);
    Ok(())
}

fn take_tags(document: &mut Document, fields: &mut Fields, facts: &PathFacts) -> Result<(), Problem> {
    let several = if facts.hexo { one_or_by_comma } else { by_comma_or_blank };
    let mut names = Vec::new();
    for name in fields::TAGS {
        if let Some(field) = fields.take(&[name]) {
            names.extend(field.names(several)?);
        }
    }
    for name in fields::TAG {
        if let Some(field) = fields.take(&[name]) {
            names.extend(field.names(one_or_by_comma)?);
        }
    }
    if let Some(field) = fields.take(fields::TAXONOMIES) {
        names.extend(take_taxonomies(field, fields)?);
    }
    for name in names {
        let known = |tag: &String| tag.to_lowercase() == name.to_lowercase();
        if !document.tags.iter().any(known) {
            document.tags.push(name);
        }
    }
    Ok(())
}

/// Zola's table; a taxonomy other than tags and categories stays a custom field.
fn take_taxonomies(field: Field, fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let Field { key, line, node: Node::Map(map) } = field else {
        return Err(field.expected("a table of lists"));
    };
    let is_tags = |name: &str| fields::TAGS.iter().position(|tags| *tags == normal_name(name));
    let (mut ours, others): (Vec<_>, Vec<_>) = map.into_iter().partition(|(name, _)| is_tags(name).is_some());
    ours.sort_by_key(|(name, _)| is_tags(name));
    let mut names = Vec::new();
    for (key, node) in ours {
        names.extend(Field { key, line, node }.names(one_or_by_comma)?);
    }
    if !others.is_empty() {
        fields.put_back(Field { key, line, node: Node::Map(others) });
    }
    Ok(names)
}

fn take_rest(document: &mut Document, fields: &mut Fields) -> Result<(), Problem> {
    if let Some(field) = fields.take(fields::SERIES_ORDER) {
        document.series_order = Some(field.integer()?);
    }
    if let Some(field) = fields.take(fields::DESCRIPTION) {
        document.description = field.text()?;
    }
    if let Some(field) = fields.take(fields::TRANSLATION_KEY) {
        document.translation_key = field.text()?;
    }
    let targets = [
        (fields::SERIES, &mut document.series),
        (fields::COVER, &mut document.cover),
        (fields::AUTHOR, &mut document.author),
    ];
    for (names, target) in targets {
        if let Some(field) = fields.take(names) {
            let (text, whole) = field.main_text();
            *target = text;
            // Second authors, a cover's alt text: ours to keep, though not to understand.
            if !whole || target.is_none() {
                document.custom.insert(field.key, field.node.into_value());
            }
        }
    }
    Ok(())
}

fn by_comma_or_blank(text: &str) -> Vec<&str> {
    match text.contains([',', '，']) {
        true => one_or_by_comma(text),
        false => text.split_whitespace().collect(),
    }
}

fn one_or_by_comma(text: &str) -> Vec<&str> {
    text.split([',', '，']).collect()
}

/// The last named segment of an address; none where it is a pattern (`/:year/:title/`).
fn last_segment(address: &str) -> Option<String> {
    let path = address.split_once("://").map_or(address, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let path = path.split(['?', '#']).next()?;
    if path.contains([':', '{']) {
        return None;
    }
    let named = |segment: &str| {
        let name = segment.strip_suffix(".html").or_else(|| segment.strip_suffix(".htm"));
        name.unwrap_or(segment).to_owned()
    };
    path.rsplit('/').map(named).find(|name| !name.is_empty() && name != "index")
}

fn title_of_name(name: &str) -> String {
    let words = name.replace(['-', '_'], " ").replace(char::is_control, " ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "Untitled".to_owned(),
    }
}
