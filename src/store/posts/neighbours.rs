//! The post before and the post after.

use std::collections::HashMap;

use diesel::sql_types::{Array, Bool, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::super::sql::Sql;
use super::super::{Conn, DbError, Sight};
use super::{PostColumns, PostRow, visible};

/// A post's neighbours in the list of its kind and language, by date.
#[derive(Clone, Debug)]
pub struct Neighbours<T> {
    pub previous: Option<T>,
    pub next: Option<T>,
}

/// For each post the one published before it and the one after it.
pub async fn neighbours(
    conn: &mut Conn,
    ids: &[Uuid],
    sight: Sight,
) -> Result<HashMap<Uuid, Neighbours<PostRow>>, DbError> {
    let side = |sql: Sql<(PostColumns, SqlUuid, Bool)>, sign, direction| {
        let sql =
            sql.push("(SELECT posts.* FROM posts WHERE posts.kind = here.kind AND posts.language = here.language AND ");
        visible(sql, sight)
            .push(" AND (posts.listed_at, posts.id)")
            .push(sign)
            .push("(here.listed_at, here.id) ORDER BY posts.listed_at")
            .push(direction)
            .push(", posts.id")
            .push(direction)
            .push(" LIMIT 1)")
    };
    let sql = Sql::new("SELECT ").columns::<PostRow>().push(
        ", here.id, (posts.listed_at, posts.id) < (here.listed_at, here.id) \
         FROM posts AS here CROSS JOIN LATERAL (",
    );
    let sql = side(side(sql, " < ", " DESC").push(" UNION ALL "), " > ", " ASC")
        .push(") AS posts WHERE here.id = ANY(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(")");
    let rows: Vec<(PostRow, Uuid, bool)> = sql.load(conn).await?;
    let mut found: HashMap<Uuid, Neighbours<PostRow>> = HashMap::new();
    for (row, here, is_before) in rows {
        let both = found.entry(here).or_insert_with(|| Neighbours { previous: None, next: None });
        *(if is_before { &mut both.previous } else { &mut both.next }) = Some(row);
    }
    Ok(found)
}
