//! The one row that describes the site itself.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

use super::schema::site;
use super::{Conn, DbError};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, AsChangeset, Serialize, Deserialize)]
#[diesel(table_name = site, check_for_backend(Pg))]
pub struct SiteRow {
    pub title: String,
    pub tagline: String,
    pub description: String,
    /// BCP 47 tag of the site's main language.
    pub language: String,
    /// Name to URL.
    pub links: serde_json::Value,
    /// True while the demo site describes it.
    pub demo: bool,
    pub updated_at: DateTime<Utc>,
}

/// `None` before anybody described the site.
pub async fn find(conn: &mut Conn) -> Result<Option<SiteRow>, DbError> {
    Ok(site::table.select(SiteRow::as_select()).first(conn).await.optional()?)
}

/// Writes the description, whether there was one or not.
pub async fn save(conn: &mut Conn, row: &SiteRow) -> Result<(), DbError> {
    diesel::insert_into(site::table).values(row).on_conflict(site::id).do_update().set(row).execute(conn).await?;
    Ok(())
}

/// Takes the demo site's description out.
pub async fn delete_demo(conn: &mut Conn) -> Result<(), DbError> {
    diesel::delete(site::table.filter(site::demo)).execute(conn).await?;
    Ok(())
}
