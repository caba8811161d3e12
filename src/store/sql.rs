//! SQL written as text with typed binds and typed columns.
//!
//! For what diesel's builder says badly: lateral joins, row comparisons, optional conditions.
//! Unlike `diesel::sql_query` it is kept as a prepared statement (the text is the key), and the
//! result is read by position with the column types of `schema.rs`.

use std::collections::HashSet;
use std::marker::PhantomData;

use diesel::expression::{AsExpression, Selectable};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, SingleValue, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Conn, DbError};

/// Longest name that is part of a statement's text.
const MAX_KNOWN_BYTES: usize = 100;

/// A statement whose rows have the SQL types `ST`.
pub struct Sql<ST> {
    parts: Vec<Part>,
    types: PhantomData<ST>,
}

enum Part {
    Text(&'static str),
    Number(u32),
    Quoted(String),
    Fragment(Box<dyn QueryFragment<Pg> + Send + Sync>),
}

impl<ST> Sql<ST> {
    /// A statement that begins with `text`.
    pub fn new(text: &'static str) -> Self {
        Self { parts: vec![Part::Text(text)], types: PhantomData }
    }

    /// Appends fixed text. Nothing a client wrote can get here: the text is `'static`.
    pub fn push(mut self, text: &'static str) -> Self {
        self.parts.push(Part::Text(text));
        self
    }

    /// Appends a number where SQL takes no parameter.
    pub fn number(mut self, number: u32) -> Self {
        self.parts.push(Part::Number(number));
        self
    }

    /// Appends a short name of the site's own, such as a language or a model, so that Postgres knows it when it
    /// plans: it takes a partial index only then. Never what a client wrote: each name is a statement that is
    /// kept. What is not plain becomes a bind parameter.
    pub fn known(mut self, name: &str) -> Self {
        if name.len() <= MAX_KNOWN_BYTES && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_./:".contains(&c)) {
            self.parts.push(Part::Quoted(name.to_owned()));
            return self;
        }
        self.bind::<diesel::sql_types::Text, _>(name.to_owned())
    }

    /// Appends a bind parameter of SQL type `T`.
    pub fn bind<T, V>(self, value: V) -> Self
    where
        T: SingleValue + diesel::sql_types::SqlType,
        V: AsExpression<T>,
        V::Expression: QueryFragment<Pg> + Send + Sync + 'static,
    {
        self.fragment(value.as_expression())
    }

    /// Appends the columns that the row `R` is read from.
    pub fn columns<R>(self) -> Self
    where
        R: Selectable<Pg>,
        R::SelectExpression: QueryFragment<Pg> + Send + Sync + 'static,
    {
        self.fragment(R::construct_selection())
    }

    fn fragment(mut self, piece: impl QueryFragment<Pg> + Send + Sync + 'static) -> Self {
        self.parts.push(Part::Fragment(Box::new(piece)));
        self
    }

    /// Appends what `more` appends, if there is a value.
    pub fn when<V>(self, value: Option<V>, more: impl FnOnce(Self, V) -> Self) -> Self {
        match value {
            Some(value) => more(self, value),
            None => self,
        }
    }
}

/// One column of rows that go to `unnest`.
pub(super) fn each<R, T>(rows: &[R], column: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(column).collect()
}

/// Those of `ids` that fulfil a condition. `select` asks for ids and ends in `= ANY(`.
pub(super) async fn ids_among(
    conn: &mut Conn,
    select: &'static str,
    ids: &[Uuid],
    condition: &'static str,
) -> Result<HashSet<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new(select).bind::<Array<SqlUuid>, _>(ids.to_vec()).push(") AND ").push(condition);
    Ok(sql.load(conn).await?.into_iter().collect())
}

impl<ST> QueryFragment<Pg> for Sql<ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_sql(text),
                Part::Number(number) => out.push_sql(&number.to_string()),
                Part::Quoted(name) => {
                    out.push_sql("'");
                    out.push_sql(name);
                    out.push_sql("'");
                }
                Part::Fragment(piece) => piece.walk_ast(out.reborrow())?,
            }
        }
        Ok(())
    }
}

impl<ST: 'static> QueryId for Sql<ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Sql<ST> {
    type SqlType = ST;
}
