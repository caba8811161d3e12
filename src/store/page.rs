//! Keyset pagination: a page starts behind a position, never at an offset.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Integer, Text, Timestamptz, Uuid as SqlUuid};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sql::Sql;

/// The value a list is ordered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Time(DateTime<Utc>),
    Text(String),
    Int(i32),
}

/// A place in an ordered list: the order key of a row, and its id to break ties.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub key: Key,
    pub id: Uuid,
}

/// A checked request for a part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// Rows wanted, 1 to 100.
    pub limit: u32,
    pub after: Option<Position>,
    pub before: Option<Position>,
    /// True for `last`: the rows nearest to the end.
    pub from_end: bool,
}

/// Rows in the order of the list, and whether there are more on either side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageOf<T> {
    pub rows: Vec<T>,
    pub has_previous: bool,
    pub has_next: bool,
}

// Not derived: a derive would ask for `T: Default`.
impl<T> Default for PageOf<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), has_previous: false, has_next: false }
    }
}

impl<T> PageOf<T> {
    /// The same page of something made from each row.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> PageOf<U> {
        let rows = self.rows.into_iter().map(make).collect();
        PageOf { rows, has_previous: self.has_previous, has_next: self.has_next }
    }

    /// Cuts the one row fetched beyond the limit and puts the rows into the list's order.
    pub(super) fn new(mut rows: Vec<T>, page: &Page) -> Self {
        let more = rows.len() > page.limit as usize;
        rows.truncate(page.limit as usize);
        if page.from_end {
            rows.reverse();
            return Self { rows, has_previous: more, has_next: page.before.is_some() };
        }
        Self { rows, has_previous: page.after.is_some(), has_next: more }
    }
}

/// The columns that order a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// For instance `"posts.listed_at"`.
    pub key: &'static str,
    /// For instance `"posts.id"`.
    pub id: &'static str,
    pub descending: bool,
}

impl Order {
    /// The condition that leaves the rows between `after` and `before`; begins with AND.
    pub fn between<ST>(self, sql: Sql<ST>, page: &Page) -> Sql<ST> {
        let (behind, ahead) = if self.descending { (" < (", " > (") } else { (" > (", " < (") };
        let side = |sql: Sql<ST>, sign, position: Position| {
            let sql = sql.push(" AND (").push(self.key).push(", ").push(self.id).push(")").push(sign);
            let sql = match position.key {
                Key::Time(at) => sql.bind::<Timestamptz, _>(at),
                Key::Text(text) => sql.bind::<Text, _>(text),
                Key::Int(number) => sql.bind::<Integer, _>(number),
            };
            sql.push(", ").bind::<SqlUuid, _>(position.id).push(")")
        };
        sql.when(page.after.clone(), |sql, at| side(sql, behind, at))
            .when(page.before.clone(), |sql, at| side(sql, ahead, at))
    }

    /// `ORDER BY`, from the end when the page is asked for from the end.
    pub fn by<ST>(self, sql: Sql<ST>, page: &Page) -> Sql<ST> {
        let direction = if self.descending != page.from_end { " DESC" } else { " ASC" };
        sql.push(" ORDER BY ").push(self.key).push(direction).push(", ").push(self.id).push(direction)
    }

    /// `LIMIT` with one row more than asked for, to know whether there are more.
    pub fn limit<ST>(self, sql: Sql<ST>, page: &Page) -> Sql<ST> {
        sql.push(" LIMIT ").bind::<BigInt, _>(i64::from(page.limit) + 1)
    }

    /// All three: the end of a plain list statement.
    pub fn finish<ST>(self, sql: Sql<ST>, page: &Page) -> Sql<ST> {
        self.limit(self.by(self.between(sql, page), page), page)
    }
}

/// Sorts the rows of a lateral statement to their parents and makes a page of each.
pub(super) fn by_parent<T>(rows: Vec<(T, Uuid)>, page: &Page) -> std::collections::HashMap<Uuid, PageOf<T>> {
    let mut groups: std::collections::HashMap<Uuid, Vec<T>> = std::collections::HashMap::new();
    for (row, parent) in rows {
        groups.entry(parent).or_default().push(row);
    }
    groups.into_iter().map(|(parent, rows)| (parent, PageOf::new(rows, page))).collect()
}
