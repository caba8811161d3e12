//! Series: posts that belong together in an order.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::Order;
use super::schema::{posts, series};
use super::sql::{self, Sql};
use super::{Conn, DbError, Key, Page, PageOf, Sight};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = series, check_for_backend(Pg))]
pub struct SeriesRow {
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub language: String,
    pub demo: bool,
    pub created_at: DateTime<Utc>,
}

/// What an edit changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = series)]
pub struct SeriesChanges {
    pub slug: Option<String>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub language: Option<String>,
}

type SeriesColumns = SqlTypeOf<<SeriesRow as Selectable<Pg>>::SelectExpression>;
const BY_SLUG: Order = Order { key: "series.slug", id: "series.id", descending: false };

pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<SeriesRow>, DbError> {
    Ok(series::table.filter(series::id.eq_any(ids)).select(SeriesRow::as_select()).load(conn).await?)
}

pub async fn by_slugs(conn: &mut Conn, slugs: &[String]) -> Result<Vec<SeriesRow>, DbError> {
    Ok(series::table.filter(series::slug.eq_any(slugs)).select(SeriesRow::as_select()).load(conn).await?)
}

/// The series with this slug, if it may be seen.
pub async fn by_slug(conn: &mut Conn, slug: String, sight: Sight) -> Result<Option<SeriesRow>, DbError> {
    let sql = Sql::<SeriesColumns>::new("SELECT ").columns::<SeriesRow>().push(" FROM series WHERE series.slug = ");
    let sql = sql.bind::<Text, _>(slug).push(" AND ").push(visible(sight));
    Ok(sql.get_result(conn).await.optional()?)
}

/// One page of the series that may be seen, by slug.
pub async fn page(conn: &mut Conn, page: &Page, sight: Sight) -> Result<PageOf<SeriesRow>, DbError> {
    let sql = Sql::<SeriesColumns>::new("SELECT ").columns::<SeriesRow>();
    let sql = sql.push(" FROM series WHERE ").push(visible(sight));
    Ok(PageOf::new(BY_SLUG.finish(sql, page).load(conn).await?, page))
}

/// Which of these series may be seen.
pub async fn visible_ids(conn: &mut Conn, ids: &[Uuid], sight: Sight) -> Result<HashSet<Uuid>, DbError> {
    sql::ids_among(conn, "SELECT series.id FROM series WHERE series.id = ANY(", ids, visible(sight)).await
}

/// A series tells the public of its parts: without a published one it tells of drafts.
fn visible(sight: Sight) -> &'static str {
    match sight {
        Sight::Public => {
            "EXISTS (SELECT 1 FROM posts WHERE posts.series_id = series.id AND posts.status = 'PUBLISHED')"
        }
        Sight::Everything => "true",
    }
}

/// Every series, by slug, for export.
pub async fn all(conn: &mut Conn) -> Result<Vec<SeriesRow>, DbError> {
    Ok(series::table.order(series::slug).select(SeriesRow::as_select()).load(conn).await?)
}

/// The series with this title, for files that name it by its title.
pub async fn by_title(conn: &mut Conn, title: &str) -> Result<Option<SeriesRow>, DbError> {
    Ok(series::table
        .filter(series::title.eq(title))
        .order(series::id)
        .select(SeriesRow::as_select())
        .first(conn)
        .await
        .optional()?)
}

pub fn key(row: &SeriesRow) -> Key {
    Key::Text(row.slug.clone())
}

/// How many series [`page`] goes through in all.
pub async fn count(conn: &mut Conn, sight: Sight) -> Result<i64, DbError> {
    Ok(Sql::<BigInt>::new("SELECT count(*) FROM series WHERE ").push(visible(sight)).get_result(conn).await?)
}

/// Errors: constraint `series_slug_key` when the slug is taken.
pub async fn insert(conn: &mut Conn, row: &SeriesRow) -> Result<(), DbError> {
    diesel::insert_into(series::table).values(row).execute(conn).await?;
    Ok(())
}

/// Inserts those whose slugs are new, and says how many were; the others stay as they are.
pub async fn insert_missing(conn: &mut Conn, rows: &[SeriesRow]) -> Result<usize, DbError> {
    Ok(diesel::insert_into(series::table).values(rows).on_conflict(series::slug).do_nothing().execute(conn).await?)
}

/// `None` if there is no such series.
pub async fn update(conn: &mut Conn, id: Uuid, changes: &SeriesChanges) -> Result<Option<SeriesRow>, DbError> {
    Ok(diesel::update(series::table.find(id))
        .set(changes)
        .returning(SeriesRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// True if there was such a series. Its posts stay, without a series.
pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    Ok(diesel::delete(series::table.find(id)).execute(conn).await? > 0)
}

/// Removes the demo site's series that no post belongs to any more.
pub async fn delete_demo(conn: &mut Conn) -> Result<Vec<Uuid>, DbError> {
    let unused = diesel::dsl::not(diesel::dsl::exists(posts::table.filter(posts::series_id.eq(series::id.nullable()))));
    let gone = diesel::delete(series::table.filter(series::demo).filter(unused));
    Ok(gone.returning(series::id).get_results(conn).await?)
}
