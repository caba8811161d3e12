//! The event log's rows. `crate::events` tails them; whoever changes something appends here.

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::connect::{self, Backend};
use super::schema::events;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, Db, DbError};

text_enum! {
    /// What happened. The part before the dot is the topic.
    EventKind {
        PostCreated = "post.created",
        PostUpdated = "post.updated",
        PostPublished = "post.published",
        PostUnpublished = "post.unpublished",
        PostScheduled = "post.scheduled",
        PostDeleted = "post.deleted",
        CommentAdded = "comment.added",
        CommentApproved = "comment.approved",
        CommentChanged = "comment.changed",
        ReactionsChanged = "reaction.changed",
        ViewersChanged = "viewers.changed",
        TagChanged = "tag.changed",
        SeriesChanged = "series.changed",
        SiteChanged = "site.changed",
        UserChanged = "user.changed",
    }
}

impl EventKind {
    /// The noun that it is about.
    pub fn topic(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}

/// A change to be told. `subject` is the post for everything that hangs on a post.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub kind: EventKind,
    pub subject: Uuid,
    pub payload: serde_json::Value,
    pub actor: Option<Uuid>,
    pub at: DateTime<Utc>,
}

/// A place in the log. Rows are ordered by transaction first: a transaction that commits late
/// keeps its place, and nobody reads past it before it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub xid: i64,
    pub id: i64,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub position: LogPosition,
    pub kind: EventKind,
    pub subject: Uuid,
    pub payload: serde_json::Value,
    pub actor: Option<Uuid>,
    pub at: DateTime<Utc>,
}

/// Which events a reader wants: all, or some kinds, of all subjects or one.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub kinds: Vec<EventKind>,
    pub subject: Option<Uuid>,
}

type EventColumns = (BigInt, BigInt, SqlTypeOf<events::kind>, SqlUuid, Jsonb, Nullable<SqlUuid>, Timestamptz);
type EventTuple = (i64, i64, EventKind, Uuid, serde_json::Value, Option<Uuid>, DateTime<Utc>);

/// Appends an event on the caller's transaction: both happen, or neither.
pub async fn append(conn: &mut Conn, event: &NewEvent) -> Result<(), DbError> {
    diesel::insert_into(events::table)
        .values((
            events::topic.eq(event.kind.topic()),
            events::kind.eq(event.kind),
            events::subject.eq(event.subject),
            events::payload.eq(&event.payload),
            events::actor.eq(event.actor),
            events::at.eq(event.at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Up to `limit` events behind `after`, in order, none of which can be overtaken any more.
pub async fn read(
    conn: &mut Conn,
    after: LogPosition,
    filter: &EventFilter,
    limit: i64,
) -> Result<Vec<EventRow>, DbError> {
    let kinds =
        (!filter.kinds.is_empty()).then(|| filter.kinds.iter().map(|k| k.as_str().to_owned()).collect::<Vec<_>>());
    let sql = Sql::<EventColumns>::new(
        "SELECT xid::text::bigint, id, kind, subject, payload, actor, at FROM events \
         WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND (xid, id) > (",
    )
    .bind::<Text, _>(after.xid.to_string())
    .push("::text::xid8, ")
    .bind::<BigInt, _>(after.id)
    .push(")")
    .when(kinds, |sql, kinds| sql.push(" AND kind = ANY(").bind::<Array<Text>, _>(kinds).push(")"))
    .when(filter.subject, |sql, subject| sql.push(" AND subject = ").bind::<SqlUuid, _>(subject))
    .push(" ORDER BY events.xid, events.id LIMIT ")
    .bind::<BigInt, _>(limit);
    let rows: Vec<EventTuple> = sql.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(xid, id, kind, subject, payload, actor, at)| EventRow {
            position: LogPosition { xid, id },
            kind,
            subject,
            payload,
            actor,
            at,
        })
        .collect())
}

/// The end of the part of the log that is settled: whatever commits from now on comes behind it.
pub async fn settled_end(conn: &mut Conn) -> Result<LogPosition, DbError> {
    let sql = Sql::<BigInt>::new("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint");
    let xmin: i64 = sql.get_result(conn).await?;
    Ok(LogPosition { xid: xmin - 1, id: i64::MAX })
}

/// True if the log still holds everything behind `position`, false if some of it was pruned.
pub async fn reaches_back_to(conn: &mut Conn, position: LogPosition) -> Result<bool, DbError> {
    let sql = Sql::<Bool>::new("SELECT NOT EXISTS (SELECT 1 FROM events_pruned WHERE (xid, id) > (")
        .bind::<Text, _>(position.xid.to_string())
        .push("::text::xid8, ")
        .bind::<BigInt, _>(position.id)
        .push("))");
    Ok(sql.get_result(conn).await?)
}

/// Forgets events older than `before` and remembers how far that went.
pub async fn prune(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, DbError> {
    let remember = Sql::<Bool>::new(
        "INSERT INTO events_pruned (xid, id) SELECT xid, id FROM events WHERE at < ",
    )
    .bind::<Timestamptz, _>(before)
    .push(" ORDER BY events.xid DESC, events.id DESC LIMIT 1 ON CONFLICT (one) DO UPDATE SET xid = EXCLUDED.xid, id = EXCLUDED.id");
    remember.execute(conn).await?;
    let forget = Sql::<Bool>::new("DELETE FROM events WHERE (xid, id) <= (SELECT xid, id FROM events_pruned)");
    Ok(forget.execute(conn).await?)
}

/// Tells the other processes on the same Postgres, at the commit of the caller's transaction.
pub async fn notify(conn: &mut Conn) -> Result<(), DbError> {
    diesel::select(pg_notify(CHANNEL, "")).execute(conn).await?;
    Ok(())
}

/// Waits for the other processes' [`notify`] and calls `wake` for each. Returns when the
/// connection is lost; an embedded database has no other processes, so there it never returns.
pub async fn listen(db: &Db, wake: impl Fn()) -> Result<(), DbError> {
    match db.backend() {
        Backend::Server { url } => connect::listen(url, CHANNEL, wake).await,
        #[cfg(feature = "embedded")]
        Backend::Embedded(_) => futures_util::future::pending().await,
    }
}

const CHANNEL: &str = "inkstone_events";

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_notify(channel: Text, payload: Text);
}
