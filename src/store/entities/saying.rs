//! Which published posts say which names: a name that neither a post nor an editor says any more is
//! shown to nobody but those who write.

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Text};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::NewName;
use crate::store::schema::{entities, entity_names, post_names};
use crate::store::sql::Sql;
use crate::store::{Conn, DbError};

/// The condition that a published post says this name.
macro_rules! by_a_post {
    ($key:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM post_names JOIN posts ON posts.id = post_names.post_id \
             AND posts.status = 'PUBLISHED' WHERE post_names.key = ",
            $key,
            ")"
        )
    };
}

/// The condition that one of `entity_names` is said.
pub(super) const SAID: &str = concat!("(entity_names.given OR ", by_a_post!("entity_names.key"), ")");
/// The condition that what one of `entities` is called is said.
pub(super) const NAME_SAID: &str = by_a_post!("entities.key");

/// Replaces what a post says by what rules have read of it; what a model has read stays if `keeps_model`.
pub async fn say(conn: &mut Conn, post_id: Uuid, keys: &[String], keeps_model: bool) -> Result<(), DbError> {
    let before = said_by(conn, &[post_id]).await?;
    let old = post_names::table.filter(post_names::post_id.eq(post_id));
    if keeps_model {
        diesel::delete(old.filter(post_names::by_model.eq(false))).execute(conn).await?;
    } else {
        diesel::delete(old).execute(conn).await?;
    }
    diesel::insert_into(post_names::table)
        .values(rows(post_id, keys, false))
        .on_conflict((post_names::post_id, post_names::key))
        .do_update()
        .set(post_names::by_model.eq(false))
        .execute(conn)
        .await?;
    call_otherwise(conn, before, keys).await
}

/// Replaces what a model has read in a post.
pub async fn say_by_model(conn: &mut Conn, post_id: Uuid, keys: &[String]) -> Result<(), DbError> {
    let before = said_by(conn, &[post_id]).await?;
    let old = post_names::table.filter(post_names::post_id.eq(post_id)).filter(post_names::by_model);
    diesel::delete(old).execute(conn).await?;
    diesel::insert_into(post_names::table)
        .values(rows(post_id, keys, true))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    call_otherwise(conn, before, keys).await
}

#[derive(Insertable)]
#[diesel(table_name = post_names)]
struct SaidName<'a> {
    post_id: Uuid,
    key: &'a str,
    by_model: bool,
}

fn rows(post_id: Uuid, keys: &[String], by_model: bool) -> Vec<SaidName<'_>> {
    keys.iter().map(|key| SaidName { post_id, key, by_model }).collect()
}

/// The names that these posts say.
async fn said_by(conn: &mut Conn, post_ids: &[Uuid]) -> Result<Vec<String>, DbError> {
    let said = post_names::table.filter(post_names::post_id.eq_any(post_ids));
    Ok(said.select(post_names::key).distinct().load(conn).await?)
}

/// Forgets what these posts say.
pub async fn say_nothing(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    let before = said_by(conn, post_ids).await?;
    diesel::delete(post_names::table.filter(post_names::post_id.eq_any(post_ids))).execute(conn).await?;
    call_otherwise(conn, before, &[]).await
}

/// Of what was said `before` some is said no more by who says this `now`: what is called so is called otherwise.
async fn call_otherwise(conn: &mut Conn, mut before: Vec<String>, now: &[String]) -> Result<(), DbError> {
    before.retain(|key| !now.contains(key));
    if !before.is_empty() {
        call_by_what_is_said(conn, Some(&before)).await?;
    }
    Ok(())
}

/// Has nobody say these names until the posts are read again.
pub async fn unsay(conn: &mut Conn, keys: &[String]) -> Result<(), DbError> {
    diesel::delete(post_names::table.filter(post_names::key.eq_any(keys))).execute(conn).await?;
    Ok(())
}

/// Calls what is called one of `keys`, or anything if there are none given, by a name that is said, where that one
/// is not and nobody has edited it.
pub async fn call_by_what_is_said(conn: &mut Conn, keys: Option<&[String]>) -> Result<usize, DbError> {
    let sql = Sql::<Bool>::new(
        "UPDATE entities SET key = said.key, name = said.name FROM (SELECT DISTINCT ON (entity_names.entity_id) \
         entity_names.entity_id, entity_names.key, entity_names.name FROM entities \
         JOIN entity_names ON entity_names.entity_id = entities.id WHERE NOT entities.edited AND NOT ",
    )
    .push(NAME_SAID)
    .when(keys.map(<[String]>::to_vec), |sql, keys| {
        sql.push(" AND entities.key = ANY(").bind::<Array<Text>, _>(keys).push(")")
    })
    .push(" AND ")
    .push(SAID)
    .push(
        " ORDER BY entity_names.entity_id, (SELECT count(*) FROM post_names \
         WHERE post_names.key = entity_names.key) DESC, entity_names.key) AS said WHERE entities.id = said.entity_id",
    );
    Ok(sql.execute(conn).await?)
}

/// Adds names that an editor gives an entity. They are its own already, or mean nothing yet.
pub async fn give_names(conn: &mut Conn, names: &[NewName]) -> Result<(), DbError> {
    // A statement has room for 65,535 values.
    for names in names.chunks(10_000) {
        let rows: Vec<_> = names.iter().map(|name| (name, entity_names::given.eq(true))).collect();
        diesel::insert_into(entity_names::table)
            .values(rows)
            .on_conflict(entity_names::key)
            .do_update()
            .set(entity_names::given.eq(true))
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// What an entity is called is the name that an editor gives it.
pub async fn give_own_name(conn: &mut Conn, id: Uuid) -> Result<(), DbError> {
    let own = exists(entities::table.filter(entities::id.eq(id)).filter(entities::key.eq(entity_names::key)));
    diesel::update(entity_names::table.filter(entity_names::entity_id.eq(id)).filter(own))
        .set(entity_names::given.eq(true))
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets names that nobody says of what nobody has edited.
pub async fn delete_unsaid(conn: &mut Conn) -> Result<usize, DbError> {
    let sql = Sql::<Bool>::new(
        "DELETE FROM entity_names USING entities WHERE entities.id = entity_names.entity_id AND NOT entities.edited \
         AND entities.key <> entity_names.key AND NOT ",
    );
    Ok(sql.push(SAID).execute(conn).await?)
}
