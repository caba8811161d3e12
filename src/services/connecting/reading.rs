//! What a post names, by rules alone: the same text and vocabulary always give the same.
//!
//! Rather nothing than nonsense. What is sure counts at once: the post's tags, its own project or
//! series, what it links to, the site's own names. A well-known technology, a name in capitals or a
//! marked title counts less than 1 where it stands once, and is shown when another post has it too.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::addresses::{Target, target};
use super::names::{is_name, key, parts, tidy, units};
use super::phrases;
use super::vocabulary::{Vocabulary, person_names, project_name, well_known};
use crate::services::markdown::{Line, Link};
use crate::store::entities::EntityKind;
use crate::store::post_entities::MentionSource;
use crate::store::posts::{PostKind, PostRow};
use crate::store::tags::TagRow;

/// Most entities of a post.
pub const MAX_ENTITIES: usize = 24;
/// Most links of a post to others that are kept.
const MAX_LINKS: usize = 30;
/// Different names of a post that are counted, before the weightiest are taken.
const MAX_COUNTED: usize = 5_000;

const OWN: f32 = 3.0;
const LINKED: f32 = 1.5;
const NAMED: f32 = 1.0;
/// Named once, which may mean nothing.
const ONCE: f32 = 0.5;
/// For each further time, and at most.
const AGAIN: f32 = 0.25;
const MOST_AGAIN: f32 = 1.0;
/// In the title or a heading.
const IN_HEADING: f32 = 0.5;

/// A post as it is read.
#[derive(Clone, Debug)]
pub struct Source {
    pub row: PostRow,
    pub tags: Vec<TagRow>,
    /// The name of who wrote it.
    pub author: Option<String>,
    /// The title of its series.
    pub series: Option<String>,
    /// Title and description first.
    pub lines: Vec<Line>,
    /// The site's own address.
    pub origin: String,
}

/// Something that a post names.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The first is the one to show.
    pub names: Vec<String>,
    pub kind: EntityKind,
    pub source: MentionSource,
    pub weight: f32,
    pub anchor: Option<String>,
    pub tag_id: Option<Uuid>,
    /// The post is what the name means: other posts may name it.
    pub introduces: bool,
}

impl Finding {
    fn new(names: Vec<String>, kind: EntityKind, source: MentionSource, weight: f32) -> Self {
        Self { names, kind, source, weight, anchor: None, tag_id: None, introduces: false }
    }
}

/// All that a post names and links to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The weightiest first.
    pub findings: Vec<Finding>,
    /// Slugs of posts, in order.
    pub links: Vec<String>,
}

/// Reads a post.
pub fn read(known: &Vocabulary, source: &Source) -> Found {
    let mut tally = Tally { known, things: HashMap::new(), links: BTreeSet::new() };
    tally.own(source);
    for line in &source.lines {
        tally.line(line, source);
    }
    let mut findings: Vec<Finding> = tally.things.into_values().map(Counted::weighed).collect();
    findings.retain(|finding| finding.names.first().is_some_and(|name| is_name(name)) || finding.tag_id.is_some());
    findings.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.names.cmp(&b.names)));
    findings.truncate(MAX_ENTITIES);
    tally.links.remove(&source.row.slug);
    Found { findings, links: tally.links.into_iter().take(MAX_LINKS).collect() }
}

/// A finding while it is counted.
struct Counted {
    finding: Finding,
    times: u16,
    in_heading: bool,
}

impl Counted {
    fn weighed(self) -> Finding {
        let mut finding = self.finding;
        let again = f32::from(self.times.saturating_sub(1)) * AGAIN;
        if finding.weight < NAMED && (self.times > 1 || self.in_heading) {
            finding.weight = NAMED;
        }
        finding.weight += again.min(MOST_AGAIN) + if self.in_heading { IN_HEADING } else { 0.0 };
        finding
    }
}

struct Tally<'a> {
    known: &'a Vocabulary,
    /// By the key of the first name.
    things: HashMap<String, Counted>,
    links: BTreeSet<String>,
}

impl Tally<'_> {
    /// Counts a finding, once more if it is known already.
    fn add(&mut self, finding: Finding, anchor: Option<&str>, in_heading: bool) {
        let Some(name) = finding.names.first().map(|name| key(name)).filter(|key| !key.is_empty()) else { return };
        if self.things.len() >= MAX_COUNTED && !self.things.contains_key(&name) {
            return;
        }
        let counted = self.things.entry(name).or_insert_with(|| {
            let finding = Finding { anchor: anchor.map(str::to_owned), ..finding.clone() };
            Counted { finding, times: 0, in_heading: false }
        });
        counted.times = counted.times.saturating_add(1);
        counted.in_heading |= in_heading;
        let known = &mut counted.finding;
        if finding.weight > known.weight {
            (known.weight, known.source) = (finding.weight, finding.source);
        }
        known.tag_id = known.tag_id.or(finding.tag_id);
        known.introduces |= finding.introduces;
        known.kind = stronger(known.kind, finding.kind);
        for name in finding.names {
            if !known.names.contains(&name) {
                known.names.push(name);
            }
        }
    }

    fn thing(&mut self, thing: usize, source: MentionSource, weight: f32, line: &Line) {
        let thing = self.known.thing(thing);
        let finding = Finding::new(thing.names.clone(), thing.kind, source, weight);
        self.add(finding, line.anchor.as_deref(), line.is_heading);
    }

    /// What the post is, apart from what it says.
    fn own(&mut self, source: &Source) {
        for tag in &source.tags {
            let technology = parts(&tag.name).iter().find_map(|part| well_known(part));
            let kind = if technology.is_some() { EntityKind::Technology } else { EntityKind::Tag };
            let mut names = technology.unwrap_or_default();
            names.push(tidy(&tag.name));
            names.extend(parts(&tag.name));
            names.dedup();
            let finding = Finding::new(names, kind, MentionSource::Rule, OWN);
            self.add(Finding { tag_id: Some(tag.id), ..finding }, None, false);
        }
        if source.row.kind == PostKind::Project {
            let names = vec![project_name(&source.row.title)];
            let finding = Finding::new(names, EntityKind::Project, MentionSource::Rule, OWN);
            self.add(Finding { introduces: true, ..finding }, None, false);
        }
        if let Some(title) = &source.series {
            let finding = Finding::new(vec![tidy(title)], EntityKind::Project, MentionSource::Rule, OWN);
            self.add(Finding { introduces: true, ..finding }, None, false);
        }
        if let Some(author) = source.author.as_deref().filter(|_| self.known.has_authors) {
            let finding = Finding::new(person_names(author), EntityKind::Person, MentionSource::Rule, NAMED);
            self.add(Finding { introduces: true, ..finding }, None, false);
        }
    }

    fn line(&mut self, line: &Line, source: &Source) {
        for link in &line.links {
            self.link(link, line, source);
        }
        for code in &line.code {
            // A command names its program first.
            let place = self.known.places(code, &units(code), true).into_iter().find(|place| place.at == 0);
            if let Some(place) = place {
                self.named(place.thing, line);
            }
        }
        let of_line = units(&line.text);
        let places = self.known.places(&line.text, &of_line, false);
        let mut taken = vec![false; of_line.len()];
        for place in places {
            taken[place.at..place.at + place.length].fill(true);
            self.named(place.thing, line);
        }
        for person in phrases::handles(&line.text).filter_map(|handle| self.known.of_handle(handle)).collect::<Vec<_>>()
        {
            self.named(person, line);
        }
        self.phrases(line, &of_line, &taken);
    }

    fn named(&mut self, thing: usize, line: &Line) {
        let weight = if self.known.thing(thing).is_own { NAMED } else { ONCE };
        self.thing(thing, MentionSource::Rule, weight, line);
    }

    fn phrases(&mut self, line: &Line, of_line: &[super::names::Unit], taken: &[bool]) {
        if !line.is_heading {
            for phrase in phrases::capitals(&line.text, of_line, taken) {
                let finding = Finding::new(vec![phrase.name], phrase.kind, MentionSource::Rule, ONCE);
                self.add(finding, line.anchor.as_deref(), false);
            }
        }
        for title in phrases::titles(&line.text) {
            // A link's text is called what it leads to.
            if line.links.iter().any(|link| link.text.contains(&title.name)) {
                continue;
            }
            match self.known.called(&title.name) {
                Some(thing) => self.named(thing, line),
                None => {
                    let weight = if title.is_work { NAMED } else { ONCE };
                    let finding = Finding::new(vec![title.name], EntityKind::Concept, MentionSource::Rule, weight);
                    self.add(finding, line.anchor.as_deref(), line.is_heading);
                }
            }
        }
    }

    fn link(&mut self, link: &Link, line: &Line, source: &Source) {
        let text = tidy(&link.text);
        match target(&link.url, &source.origin) {
            Some(Target::Post(slug)) => {
                if let Some(thing) = self.known.of_post(&slug).filter(|_| slug != source.row.slug) {
                    self.thing(thing, MentionSource::Link, LINKED, line);
                }
                self.links.insert(slug);
            }
            Some(Target::Thing { name, kind }) => match self.known.called(&name) {
                Some(thing) => self.thing(thing, MentionSource::Link, LINKED, line),
                None => {
                    let finding = Finding::new(vec![name], kind, MentionSource::Link, LINKED);
                    self.add(finding, line.anchor.as_deref(), false);
                }
            },
            Some(Target::Front) if phrases::is_proper(&text) && self.known.called(&text).is_none() => {
                let finding = Finding::new(vec![text], EntityKind::Project, MentionSource::Link, ONCE);
                self.add(finding, line.anchor.as_deref(), false);
            }
            Some(Target::Front) | None => {}
        }
    }
}

/// The kind that says more.
pub fn stronger(one: EntityKind, other: EntityKind) -> EntityKind {
    let rank = |kind| match kind {
        EntityKind::Concept => 0,
        EntityKind::Tag => 1,
        EntityKind::Place => 2,
        EntityKind::Technology => 3,
        EntityKind::Project => 4,
        EntityKind::Person => 5,
    };
    if rank(other) > rank(one) { other } else { one }
}
