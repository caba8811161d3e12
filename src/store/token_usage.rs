//! Token usage: what each subject had models read and write on a day.

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;

use super::schema::token_usage;
use super::{Conn, DbError};

/// Adds to what a subject has used on a day.
pub async fn add(conn: &mut Conn, day: NaiveDate, subject: &str, prompt: i64, completion: i64) -> Result<(), DbError> {
    diesel::insert_into(token_usage::table)
        .values((
            token_usage::day.eq(day),
            token_usage::subject.eq(subject),
            token_usage::prompt_tokens.eq(prompt),
            token_usage::completion_tokens.eq(completion),
        ))
        .on_conflict((token_usage::day, token_usage::subject))
        .do_update()
        .set((
            token_usage::prompt_tokens.eq(token_usage::prompt_tokens + excluded(token_usage::prompt_tokens)),
            token_usage::completion_tokens
                .eq(token_usage::completion_tokens + excluded(token_usage::completion_tokens)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// All tokens of a subject on a day, read and written.
pub async fn total(conn: &mut Conn, day: NaiveDate, subject: &str) -> Result<i64, DbError> {
    let used: Option<(i64, i64)> = token_usage::table
        .find((day, subject))
        .select((token_usage::prompt_tokens, token_usage::completion_tokens))
        .first(conn)
        .await
        .optional()?;
    Ok(used.map_or(0, |(prompt, completion)| prompt.saturating_add(completion)))
}

/// Forgets days before `day`; returns how many rows there were.
pub async fn forget_before(conn: &mut Conn, day: NaiveDate) -> Result<usize, DbError> {
    Ok(diesel::delete(token_usage::table.filter(token_usage::day.lt(day))).execute(conn).await?)
}

/// The same for the subjects that begin with `prefix`, which holds no wildcard.
pub async fn forget_subjects_before(conn: &mut Conn, day: NaiveDate, prefix: &str) -> Result<usize, DbError> {
    let old = token_usage::table.filter(token_usage::day.lt(day));
    Ok(diesel::delete(old.filter(token_usage::subject.like(format!("{prefix}%")))).execute(conn).await?)
}
