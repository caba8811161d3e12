//! Relay pagination: arguments to a checked [`Page`], and cursors.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use uuid::Uuid;

use crate::error::ApiError;
use crate::services::dates;
use crate::store::{Key, Page, Position};

/// Most rows a page may hold.
pub const MAX: i32 = 100;
/// Rows of a page when neither `first` nor `last` is given.
pub const DEFAULT: i32 = 20;

/// The pagination arguments as they came.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

impl Args {
    /// A checked page of the list that `list` names; cursors of other lists are refused.
    ///
    /// Errors: `BAD_USER_INPUT`, saying which argument is wrong and what is allowed.
    pub fn check(self, list: &str) -> Result<Page, ApiError> {
        if self.first.is_some() && self.last.is_some() {
            return Err(ApiError::bad_input("`first` and `last` cannot be used together: choose one"));
        }
        let (name, count) = match (self.first, self.last) {
            (_, Some(last)) => ("last", last),
            (first, None) => ("first", first.unwrap_or(DEFAULT)),
        };
        let limit = u32::try_from(count).ok().filter(|n| (1..=MAX as u32).contains(n));
        let limit = limit.ok_or_else(|| ApiError::bad_input(format!("`{name}` is {count}: expected 1 to {MAX}")))?;
        Ok(Page {
            limit,
            after: decode_if(list, "after", self.after)?,
            before: decode_if(list, "before", self.before)?,
            from_end: self.last.is_some(),
        })
    }
}

/// Which part of a ranking of `all` rows a page is. A cursor leads to where its row stands now, or, if
/// it is not there any more, to the rank that it had, which is its key.
pub fn part_of_ranking(page: &Page, all: usize, place_of: impl Fn(Uuid) -> Option<usize>) -> Range<usize> {
    let rank = |at: &Position| {
        let ranked = match at.key {
            Key::Int(rank) => usize::try_from(rank).unwrap_or(0),
            Key::Time(_) | Key::Text(_) => 0,
        };
        place_of(at.id).map_or(ranked, |place| place + 1)
    };
    let begin = page.after.as_ref().map_or(0, rank).min(all);
    let end = page.before.as_ref().map_or(all, |at| rank(at).saturating_sub(1)).clamp(begin, all);
    let limit = page.limit as usize;
    if page.from_end { begin.max(end.saturating_sub(limit))..end } else { begin..end.min(begin + limit) }
}

/// The cursor of a place in a list.
pub fn encode(list: &str, position: &Position) -> String {
    let key = match &position.key {
        Key::Time(at) => format!("t{}", at.timestamp_micros()),
        Key::Int(number) => format!("i{number}"),
        Key::Text(text) => format!("s{text}"),
    };
    URL_SAFE_NO_PAD.encode(format!("{list}:{}:{key}", position.id.simple()))
}

fn decode_if(list: &str, argument: &str, cursor: Option<String>) -> Result<Option<Position>, ApiError> {
    let Some(cursor) = cursor else { return Ok(None) };
    decode(list, &cursor).map(Some).ok_or_else(|| {
        let shown: String = cursor.chars().take(64).collect();
        ApiError::bad_input(format!(
            "`{argument}` is {shown:?}, which is no cursor of this list: pass back a `cursor` of one of its edges, unchanged"
        ))
    })
}

fn decode(list: &str, cursor: &str) -> Option<Position> {
    if cursor.len() > 1024 {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.splitn(3, ':');
    let (named, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let id = Uuid::try_parse(id).ok()?;
    let (kind, value) = key.split_at_checked(1)?;
    let key = match kind {
        "t" => Key::Time(DateTime::from_timestamp_micros(value.parse().ok()?)?),
        "i" => Key::Int(value.parse().ok()?),
        "s" if !value.contains('\0') => Key::Text(value.to_owned()),
        _ => return None,
    };
    (named == list && fits(list, &key)).then_some(Position { key, id })
}

/// True if a list can be ordered by such a key. Cursors are not signed: one that somebody made up
/// must not reach the database with a value that it cannot compare.
fn fits(list: &str, key: &Key) -> bool {
    match (list, key) {
        ("tags" | "series" | "users" | "entities", Key::Text(_))
        | ("posts-series" | "revisions" | "search" | "recommendations" | "popular", Key::Int(_)) => true,
        ("tags" | "series" | "users" | "entities", _) => false,
        ("posts-series" | "revisions" | "search" | "recommendations" | "popular", _) => false,
        (_, Key::Time(at)) => dates::is_in_range(at),
        (_, Key::Int(_) | Key::Text(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = Key> {
        prop_oneof![
            (-4_000_000_000_000_000i64..4_000_000_000_000_000)
                .prop_map(|us| Key::Time(DateTime::from_timestamp_micros(us).expect("in range"))),
            any::<i32>().prop_map(Key::Int),
            "[^\0]{0,60}".prop_map(Key::Text),
        ]
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(key in any_key(), id in any::<u128>()) {
            let position = Position { key, id: Uuid::from_u128(id) };
            let fitting = ["posts-new", "tags", "posts-series"].map(|list| (list, decode(list, &encode(list, &position))));
            for (list, decoded) in fitting {
                prop_assert_eq!(decoded, fits(list, &position.key).then(|| position.clone()), "{}", list);
                prop_assert_eq!(decode("other", &encode(list, &position)), None);
            }
        }

        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,200}") {
            let _ = decode("tags", &text);
            let _ = decode("tags", &URL_SAFE_NO_PAD.encode(&text));
        }
    }

    #[test]
    fn a_page_of_a_ranking_goes_on_where_its_row_stands_now() {
        let at = |rank, id| Some(Position { key: Key::Int(rank), id: Uuid::from_u128(id) });
        let part = |limit, after, before, from_end| {
            // Row n stands at place n, but for those beyond the list.
            let place_of = |id: Uuid| usize::try_from(id.as_u128()).ok().filter(|place| *place < 10);
            part_of_ranking(&Page { limit, after, before, from_end }, 10, place_of)
        };
        assert_eq!(part(3, None, None, false), 0..3);
        assert_eq!(part(3, at(9, 2), None, false), 3..6, "it stood last and stands third");
        assert_eq!(part(3, at(4, 77), None, false), 4..7, "it is gone");
        assert_eq!(part(20, at(9, 2), at(1, 6), false), 3..6);
        assert_eq!(part(2, None, None, true), 8..10);
        assert_eq!(part(2, None, at(1, 6), true), 4..6);
        for odd in [part(5, at(i32::MAX, 77), None, false), part(5, at(3, 8), at(-4, 77), false)] {
            assert!(odd.is_empty(), "{odd:?}");
        }
    }

    #[test]
    fn a_page_is_one_to_a_hundred_rows() {
        for (first, last) in [(Some(0), None), (Some(101), None), (None, Some(-1)), (Some(1), Some(1))] {
            let refused = Args { first, last, ..Args::default() }.check("list");
            assert!(refused.is_err(), "first {first:?} last {last:?} should be refused");
        }
        let page = Args::default().check("list").expect("the default is fine");
        assert_eq!((page.limit, page.from_end), (20, false));
    }
}
