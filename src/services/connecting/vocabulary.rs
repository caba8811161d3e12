//! The names that are looked for in every post: well-known technologies, the site's own projects,
//! series and people, and whatever somebody has added or renamed.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::names::{self, Unit, key, parts, stands, tidy, units};
use crate::services::{ServiceError, Services};
use crate::store::entities::EntityKind;
use crate::store::post_entities::{self, SiteName};

const TECHNOLOGIES: &str = include_str!("technologies.txt");

/// How a name has to be written to mean the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Anyhow,
    /// With the same letters, capitals and all.
    Exactly,
    /// Set apart: as code, on a link, between the marks of a title.
    SetApart,
}

/// Something that posts may name.
#[derive(Clone, Debug)]
pub struct Thing {
    /// The first is the one to show.
    pub names: Vec<String>,
    pub kind: EntityKind,
    /// The site's own: to be named once is enough.
    pub is_own: bool,
}

#[derive(Clone, Debug)]
struct Name {
    units: Vec<String>,
    written: String,
    manner: Manner,
    thing: usize,
}

/// Where a thing is named: from which unit on, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub thing: usize,
    pub at: usize,
    pub length: usize,
}

/// All that is looked for. Small: some hundred names, and those of the site.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    things: Vec<Thing>,
    names: Vec<Name>,
    /// Names by their first unit, the longest first.
    by_first: HashMap<String, Vec<usize>>,
    /// Things by the slug of their post, and by their handle.
    posts: HashMap<String, usize>,
    handles: HashMap<String, usize>,
    /// More than one writes here: then it says something who wrote a post.
    pub has_authors: bool,
}

static WELL_KNOWN: LazyLock<Vocabulary> = LazyLock::new(|| {
    let mut known = Vocabulary::default();
    for line in TECHNOLOGIES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let manner = |name: &str| if name.starts_with('=') { Manner::Exactly } else { Manner::Anyhow };
        let all: Vec<(Manner, String)> =
            line.split(" | ").map(|name| (manner(name), name.trim_start_matches('=').to_owned())).collect();
        let names = all.iter().map(|(_, name)| name.clone()).collect();
        let thing = known.add_thing(Thing { names, kind: EntityKind::Technology, is_own: false });
        for (manner, name) in all {
            known.add_name(thing, &name, manner);
        }
    }
    known
});

impl Vocabulary {
    /// As the site is now.
    pub async fn load(services: &Services) -> Result<Self, ServiceError> {
        let mut conn = services.db.conn().await?;
        let site = post_entities::site_names(&mut conn).await?;
        let has_authors = post_entities::authors(&mut conn).await? > 1;
        Ok(Self::of(site, has_authors))
    }

    pub(super) fn of(site: Vec<SiteName>, has_authors: bool) -> Self {
        let mut all = WELL_KNOWN.clone();
        all.has_authors = has_authors;
        for (what, name, known_by) in site {
            match what.as_str() {
                "PROJECT" | "SERIES" => {
                    let shown = if what == "PROJECT" { project_name(&name) } else { tidy(&name) };
                    let thing = all.add_own(EntityKind::Project, vec![shown]);
                    if what == "PROJECT"
                        && let Some(slug) = known_by
                    {
                        all.posts.insert(slug, thing);
                    }
                }
                "PERSON" => {
                    let thing = all.add_own(EntityKind::Person, person_names(&name));
                    all.handles.extend(known_by.map(|handle| (handle, thing)));
                }
                kind => {
                    let kind = kind.parse().unwrap_or(EntityKind::Concept);
                    let thing = all.add_thing(Thing { names: vec![name.clone()], kind, is_own: true });
                    all.add_name(thing, &name, of_edited(kind, &name));
                }
            }
        }
        for names in all.by_first.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(all.names[*name].units.len()));
        }
        all
    }

    fn add_own(&mut self, kind: EntityKind, names: Vec<String>) -> usize {
        let thing = self.add_thing(Thing { names: names.clone(), kind, is_own: true });
        for name in names {
            let manner = if kind == EntityKind::Person { of_person(&name) } else { manner(&name) };
            self.add_name(thing, &name, manner);
        }
        thing
    }

    fn add_thing(&mut self, thing: Thing) -> usize {
        self.things.push(thing);
        self.things.len() - 1
    }

    fn add_name(&mut self, thing: usize, name: &str, manner: Manner) {
        let units: Vec<String> = units(name).into_iter().map(|unit| unit.text).collect();
        let Some(first) = units.first().cloned() else { return };
        self.names.push(Name { units, written: name.to_owned(), manner, thing });
        self.by_first.entry(first).or_default().push(self.names.len() - 1);
    }

    pub fn thing(&self, place: usize) -> &Thing {
        &self.things[place]
    }

    /// The thing of this name, however it is written.
    pub fn called(&self, name: &str) -> Option<usize> {
        let of_name = units(name);
        let found = self.longest(name, &of_name, 0, true)?;
        (found.length == of_name.len()).then_some(found.thing)
    }

    /// The thing that a post of the site is about.
    pub fn of_post(&self, slug: &str) -> Option<usize> {
        self.posts.get(slug).copied()
    }

    /// The person of this handle.
    pub fn of_handle(&self, handle: &str) -> Option<usize> {
        self.handles.get(handle).copied()
    }

    /// Every place of a text where something is named; the longest name counts.
    pub fn places(&self, text: &str, of_text: &[Unit], is_set_apart: bool) -> Vec<Place> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < of_text.len() {
            match self.longest(text, of_text, at, is_set_apart) {
                Some(place) => {
                    at += place.length;
                    found.push(place);
                }
                None => at += 1,
            }
        }
        found
    }

    fn longest(&self, text: &str, of_text: &[Unit], at: usize, is_set_apart: bool) -> Option<Place> {
        let candidates = self.by_first.get(&of_text.get(at)?.text)?;
        candidates.iter().find_map(|name| {
            let name = &self.names[*name];
            let length = stands(text, of_text, at, &name.units)?;
            let written = text.get(of_text[at].start..of_text[at + length - 1].end)?;
            let means_it = match name.manner {
                Manner::Anyhow => true,
                Manner::Exactly => is_set_apart || written == name.written,
                Manner::SetApart => is_set_apart,
            };
            means_it.then_some(Place { thing: name.thing, at, length })
        })
    }
}

/// What a project is called whose post has this title: what stands before what it says of it.
pub fn project_name(title: &str) -> String {
    let head = title.split([':', '：', '—', '–']).next().map(tidy).unwrap_or_default();
    let fits = names::is_name(&head);
    if fits { head } else { tidy(title) }
}

/// What a person is called: the whole name, and its parts where it is given in two scripts.
pub fn person_names(name: &str) -> Vec<String> {
    let mut all = parts(name);
    if all.len() != 1 {
        all.insert(0, tidy(name));
    }
    all
}

/// A single word in small letters, or two characters, may be anything.
fn manner(name: &str) -> Manner {
    let units = units(name);
    let is_cjk = units.iter().all(|unit| unit.is_cjk);
    match units.len() {
        0..=2 if is_cjk => Manner::SetApart,
        1 if is_cjk || name.chars().all(|c| !c.is_uppercase()) => Manner::SetApart,
        1 => Manner::Exactly,
        _ => Manner::Anyhow,
    }
}

/// Names of people have two characters often; a first name alone may be anybody's.
fn of_person(name: &str) -> Manner {
    let units = units(name);
    if units.len() < 2 { Manner::SetApart } else { Manner::Anyhow }
}

/// What somebody has said to be a name is one; a word of a tag is mostly just a word.
fn of_edited(kind: EntityKind, name: &str) -> Manner {
    let units = units(name);
    match units.as_slice() {
        [one] if one.is_cjk || kind == EntityKind::Tag => Manner::SetApart,
        [_] if name.chars().any(char::is_uppercase) => Manner::Exactly,
        _ if kind == EntityKind::Tag => manner(name),
        _ => Manner::Anyhow,
    }
}

/// The names of the well-known technology of this name; none if there is none.
pub fn well_known(name: &str) -> Option<Vec<String>> {
    let wanted = key(name);
    WELL_KNOWN.things.iter().find(|thing| thing.names.iter().any(|name| key(name) == wanted)).map(|it| it.names.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Vec<SiteName> {
        let one = |what: &str, name: &str, by: Option<&str>| (what.to_owned(), name.to_owned(), by.map(str::to_owned));
        vec![
            one("PROJECT", "kettle: a timer", Some("kettle")),
            one("SERIES", "A Small Site, Slowly", Some("a-small-site")),
            one("PERSON", "舒怡 Shu Yi", Some("shuyi")),
            one("PLACE", "Bell Street", None),
        ]
    }

    fn found(text: &str, is_set_apart: bool) -> Vec<String> {
        let known = Vocabulary::of(site(), false);
        let places = known.places(text, &units(text), is_set_apart);
        places.into_iter().map(|place| known.thing(place.thing).names[0].clone()).collect()
    }

    #[test]
    fn the_list_of_technologies_names_each_thing_once() {
        let mut seen = HashMap::new();
        for (n, thing) in WELL_KNOWN.things.iter().enumerate() {
            for name in &thing.names {
                let other = seen.insert(key(name), n);
                assert!(other.is_none_or(|other| other == n), "{name:?} stands on two lines");
                assert!(names::is_name(name), "{name:?} is no name");
            }
        }
        assert!(WELL_KNOWN.things.len() > 100);
    }

    #[test]
    fn known_names_are_found_where_they_mean_the_thing() {
        for (text, expected) in [
            ("Rust and postgres", vec!["Rust", "PostgreSQL"]),
            ("the rust on the kettle", vec![]),
            ("用机器学习和 Rust 写", vec!["Machine learning", "Rust"]),
            ("in a small site, slowly", vec!["A Small Site, Slowly"]),
            ("舒怡 says, and Shu Yi wrote", vec!["舒怡 Shu Yi", "舒怡 Shu Yi"]),
            ("on bell street", vec!["Bell Street"]),
            ("Node.js. Python", vec!["Node.js", "Python"]),
        ] {
            assert_eq!(found(text, false), expected, "{text:?}");
        }
        assert_eq!(found("kettle", true), ["kettle"], "as code it is the project");
    }

    #[test]
    fn a_project_is_called_what_its_title_begins_with() {
        assert_eq!(project_name("格子：打印习字格的小工具"), "格子");
        assert_eq!(project_name("kettle: a timer"), "kettle");
        assert_eq!(project_name("Inkstone"), "Inkstone");
        assert_eq!(person_names("Lin Mo 林墨"), ["Lin Mo 林墨", "Lin Mo", "林墨"]);
    }
}
