//! The event log's rows. `crate::events` tails them; whoever changes something appends here.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::connect::{self, Backend};
use super::schema::events;
use super::sql::{Sql, each};
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
        JobChanged = "job.changed",
        SearchChanged = "search.changed",
        ProposalChanged = "proposal.changed",
        GraphChanged = "graph.changed",
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

type EventColumns = (BigInt, BigInt, Text, SqlUuid, Jsonb, Nullable<SqlUuid>, Timestamptz);
type EventTuple = (i64, i64, String, Uuid, serde_json::Value, Option<Uuid>, DateTime<Utc>);

/// A part of the log.
#[derive(Debug)]
pub struct Batch {
    /// In order; without those of kinds that only a newer version of this program knows.
    pub rows: Vec<EventRow>,
    /// Where the part ends.
    pub end: LogPosition,
    /// There may be more behind it.
    pub full: bool,
}

/// Appends events, in this order, on the caller's transaction: that and they happen, or neither.
pub async fn append(conn: &mut Conn, events: &[NewEvent]) -> Result<(), DbError> {
    appending(Sql::<Text>::new(""), events).execute(conn).await?;
    Ok(())
}

/// The same as a part of another statement.
pub(super) fn appending<ST>(sql: Sql<ST>, events: &[NewEvent]) -> Sql<ST> {
    sql.push("INSERT INTO events (topic, kind, subject, payload, actor, at) SELECT * FROM unnest(")
        .bind::<Array<Text>, _>(each(events, |event| event.kind.topic()))
        .push(", ")
        .bind::<Array<Text>, _>(each(events, |event| event.kind.as_str()))
        .push(", ")
        .bind::<Array<SqlUuid>, _>(each(events, |event| event.subject))
        .push(", ")
        .bind::<Array<Jsonb>, _>(each(events, |event| event.payload.clone()))
        .push(", ")
        .bind::<Array<Nullable<SqlUuid>>, _>(each(events, |event| event.actor))
        .push(", ")
        .bind::<Array<Timestamptz>, _>(each(events, |event| event.at))
        .push(")")
}

/// Up to `limit` events behind `after`, in order, none of which can be overtaken any more: those
/// of transactions older than every open one on this Postgres server, and those up to `settled`,
/// of which the caller knows it.
pub async fn read(
    conn: &mut Conn,
    after: LogPosition,
    settled: LogPosition,
    filter: &EventFilter,
    limit: i64,
) -> Result<Batch, DbError> {
    let kinds =
        (!filter.kinds.is_empty()).then(|| filter.kinds.iter().map(|k| k.as_str().to_owned()).collect::<Vec<_>>());
    let sql = Sql::<EventColumns>::new(
        "SELECT xid::text::bigint, id, kind, subject, payload, actor, at FROM events \
         WHERE (xid < pg_snapshot_xmin(pg_current_snapshot()) OR (xid, id) <= (",
    )
    .bind::<Text, _>(settled.xid.to_string())
    .push("::text::xid8, ")
    .bind::<BigInt, _>(settled.id)
    .push(")) AND (xid, id) > (")
    .bind::<Text, _>(after.xid.to_string())
    .push("::text::xid8, ")
    .bind::<BigInt, _>(after.id)
    .push(")")
    .when(kinds, |sql, kinds| sql.push(" AND kind = ANY(").bind::<Array<Text>, _>(kinds).push(")"))
    .when(filter.subject, |sql, subject| sql.push(" AND subject = ").bind::<SqlUuid, _>(subject))
    .push(" ORDER BY events.xid, events.id LIMIT ")
    .bind::<BigInt, _>(limit);
    let tuples: Vec<EventTuple> = sql.load(conn).await?;
    let end = tuples.last().map_or(after, |last| LogPosition { xid: last.0, id: last.1 });
    let full = tuples.len() as i64 == limit;
    Ok(Batch { rows: tuples.into_iter().filter_map(row).collect(), end, full })
}

/// `None` for a kind that only a newer version knows: it writes to the log already while this one
/// still runs.
fn row((xid, id, kind, subject, payload, actor, at): EventTuple) -> Option<EventRow> {
    match kind.parse() {
        Ok(kind) => Some(EventRow { position: LogPosition { xid, id }, kind, subject, payload, actor, at }),
        Err(_) => {
            tracing::debug!(kind, "an event of a kind that this version does not know is passed over");
            None
        }
    }
}

/// What holds the log's tail back.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// All transactions of this database up to here have ended.
    pub settled: LogPosition,
    /// The oldest committed event behind `told`.
    pub waiting_since: Option<DateTime<Utc>>,
}

/// How far the log is settled by this database's own transactions. [`read`] by itself waits for
/// every writing transaction of the whole Postgres server, because a snapshot's xmin does.
///
/// Read the events in a statement of its own afterwards: a transaction that ends while this one
/// runs is no longer among the open ones, and only a later snapshot sees what it wrote.
pub async fn tail(conn: &mut Conn, told: LogPosition) -> Result<Tail, DbError> {
    // A backend's xid has 32 bits. `m` is the snapshot's xmax with its epoch; what began since is
    // not older than it and holds nothing back. The first that waits is looked for in the log's own
    // order: for the oldest by time, Postgres would go through the whole log.
    let sql = Sql::<(BigInt, Nullable<Timestamptz>)>::new(
        "WITH next AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS m), \
         open AS (SELECT backend_xid::text::bigint AS x FROM pg_stat_activity \
           WHERE datname = current_database() AND backend_xid IS NOT NULL \
           UNION ALL SELECT transaction::text::bigint FROM pg_prepared_xacts WHERE database = current_database()) \
         SELECT (SELECT LEAST(m, min(CASE WHEN (m - x) & 4294967295 < 2147483648 \
             THEN m - ((m - x) & 4294967295) END)) FROM next LEFT JOIN open ON true GROUP BY m), \
           (SELECT at FROM events WHERE (xid, id) > (",
    )
    .bind::<Text, _>(told.xid.to_string())
    .push("::text::xid8, ")
    .bind::<BigInt, _>(told.id)
    .push(") ORDER BY xid, id LIMIT 1)");
    let (open, waiting_since): (i64, Option<DateTime<Utc>>) = sql.get_result(conn).await?;
    Ok(Tail { settled: LogPosition { xid: open - 1, id: i64::MAX }, waiting_since })
}

/// The end of the part of the log that is settled: whatever commits from now on comes behind it.
pub async fn settled_end(conn: &mut Conn) -> Result<LogPosition, DbError> {
    let sql = Sql::<BigInt>::new("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint");
    let xmin: i64 = sql.get_result(conn).await?;
    Ok(LogPosition { xid: xmin - 1, id: i64::MAX })
}

/// True if the log still holds everything behind `position`, false if some of it was pruned, or if
/// the position is of another log: nothing here is as far.
pub async fn reaches_back_to(conn: &mut Conn, position: LogPosition) -> Result<bool, DbError> {
    let sql = Sql::<Bool>::new("SELECT NOT EXISTS (SELECT 1 FROM events_pruned WHERE (xid, id) > (")
        .bind::<Text, _>(position.xid.to_string())
        .push("::text::xid8, ")
        .bind::<BigInt, _>(position.id)
        .push(")) AND ")
        .bind::<Text, _>(position.xid.to_string())
        .push("::text::xid8 < pg_snapshot_xmax(pg_current_snapshot())");
    Ok(sql.get_result(conn).await?)
}

/// When something of these kinds last happened, as far as the log reaches back.
pub async fn last_at(conn: &mut Conn, kinds: &[EventKind]) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(events::table
        .filter(events::kind.eq_any(kinds))
        .order((events::xid.desc(), events::id.desc()))
        .select(events::at)
        .first(conn)
        .await
        .optional()?)
}

/// Brings events home that came with a dump out of another Postgres cluster, where transactions
/// had higher numbers: without this, whatever happens from now on would come before them and never
/// be told. They become part of the settled log, in the order of their ids. Returns how many there
/// were.
///
/// On a transaction, before anybody reads the log.
pub async fn bring_home(conn: &mut Conn) -> Result<usize, DbError> {
    let foreign = " >= pg_snapshot_xmax(pg_current_snapshot())";
    let some = Sql::<Bool>::new("SELECT EXISTS (SELECT 1 FROM events WHERE xid").push(foreign);
    let some = some.push(" UNION ALL SELECT 1 FROM events_pruned WHERE xid").push(foreign).push(")");
    if !some.get_result::<bool>(conn).await? {
        return Ok(0);
    }
    let last = "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)::text::xid8";
    let pruned =
        Sql::<Bool>::new("UPDATE events_pruned SET xid = ").push(last).push(", id = 0 WHERE xid").push(foreign);
    pruned.execute(conn).await?;
    let events = Sql::<Bool>::new("UPDATE events SET xid = ").push(last).push(" WHERE xid").push(foreign);
    Ok(events.execute(conn).await?)
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

/// Tells all processes on the same Postgres that one has committed something.
pub async fn notify(conn: &mut Conn, process: &str) -> Result<(), DbError> {
    diesel::select(pg_notify(CHANNEL, process)).execute(conn).await?;
    Ok(())
}

/// Waits for [`notify`], of other processes and of this one, and calls `wake` with who it was. Returns when the
/// connection is lost; an embedded database has no other processes, so there it never returns.
pub async fn listen(db: &Db, wake: impl Fn(&str)) -> Result<(), DbError> {
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
