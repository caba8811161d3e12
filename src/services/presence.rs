//! Who is looking at a post right now.
//!
//! Each process counts its own viewers and writes the count down, together with an event, at most
//! a few times a second; the total is the sum over the processes that are alive.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ServiceError, Services};
use crate::events::{EventKind, NewEvent};
use crate::store::{DbError, presence};

/// Joins and leaves within this time are written down once.
const GATHER: Duration = Duration::from_millis(200);
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A process not heard of for this long is gone.
const DEAD_AFTER: chrono::Duration = chrono::Duration::seconds(60);

/// The viewers of this process.
#[derive(Clone)]
pub struct Presence {
    inner: Arc<Inner>,
}

struct Inner {
    replica: Uuid,
    viewers: Mutex<Counts>,
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    by_post: HashMap<Uuid, i32>,
    /// What of `by_post` the database knows.
    written: HashMap<Uuid, i32>,
    unwritten: HashSet<Uuid>,
}

/// One viewer; gone when dropped.
pub struct Viewing {
    presence: Presence,
    post_id: Uuid,
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.presence.count(self.post_id, -1);
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { replica: Uuid::now_v7(), viewers: Mutex::default(), changed: Notify::new() }) }
    }
}

impl Presence {
    /// Somebody looks at a post until the guard is dropped.
    pub fn join(&self, post_id: Uuid) -> Viewing {
        self.count(post_id, 1);
        Viewing { presence: self.clone(), post_id }
    }

    /// By how much the viewers of this process are more than it has written down.
    pub fn ahead(&self, post_id: Uuid) -> i64 {
        let counts = self.lock();
        let of = |counts: &HashMap<Uuid, i32>| i64::from(counts.get(&post_id).copied().unwrap_or(0));
        of(&counts.by_post) - of(&counts.written)
    }

    /// Writes counts down until `stop`, then takes this process's viewers out.
    pub async fn run(self, services: Services, stop: CancellationToken) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => break,
                () = self.inner.changed.notified() => {
                    tokio::time::sleep(GATHER).await;
                    self.write_down(&services).await
                }
                _ = heartbeat.tick() => self.keep_alive(&services).await,
            };
            if let Err(error) = done {
                tracing::warn!(error = %error, "presence could not be written; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.inner.changed.notify_one();
            }
        }
        if let Err(error) = self.leave(&services).await {
            tracing::warn!(error = %error, "presence could not be taken out; it expires by itself");
        }
    }

    fn count(&self, post_id: Uuid, by: i32) {
        let mut counts = self.lock();
        *counts.by_post.entry(post_id).or_default() += by;
        counts.unwritten.insert(post_id);
        drop(counts);
        self.inner.changed.notify_one();
    }

    async fn write_down(&self, services: &Services) -> Result<(), DbError> {
        let changed: Vec<(Uuid, i32)> = {
            let mut counts = self.lock();
            let posts: Vec<Uuid> = counts.unwritten.drain().collect();
            posts.into_iter().map(|post| (post, counts.by_post.get(&post).copied().unwrap_or(0))).collect()
        };
        for (at, (post_id, viewers)) in changed.iter().enumerate() {
            if let Err(error) = self.write_one(services, *post_id, *viewers).await {
                self.lock().unwritten.extend(changed[at..].iter().map(|(post, _)| *post));
                return Err(error);
            }
            self.lock().written.insert(*post_id, *viewers);
        }
        let mut counts = self.lock();
        counts.by_post.retain(|_, viewers| *viewers > 0);
        counts.written.retain(|_, viewers| *viewers > 0);
        Ok(())
    }

    async fn write_one(&self, services: &Services, post_id: Uuid, viewers: i32) -> Result<(), DbError> {
        let now = Utc::now();
        let mut tx = services.db.begin().await?;
        match presence::set(&mut tx, self.inner.replica, post_id, viewers, now).await {
            // The post was deleted under its viewers: there is nothing left to count.
            Err(DbError::Constraint { .. }) => return Ok(()),
            done => done?,
        }
        services.commit(tx, &[changed(post_id)]).await
    }

    async fn keep_alive(&self, services: &Services) -> Result<(), DbError> {
        let now = Utc::now();
        let mut tx = services.db.begin().await?;
        presence::refresh(&mut tx, self.inner.replica, now).await?;
        let dead = presence::forget_dead(&mut tx, now - DEAD_AFTER).await?;
        services.commit(tx, &dead.into_iter().map(changed).collect::<Vec<_>>()).await
    }

    async fn leave(&self, services: &Services) -> Result<(), DbError> {
        let mut tx = services.db.begin().await?;
        let left = presence::forget(&mut tx, self.inner.replica).await?;
        services.commit(tx, &left.into_iter().map(changed).collect::<Vec<_>>()).await
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts are whole after every statement, so a panic elsewhere does not spoil them.
        self.inner.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many look at a post, over all processes.
pub async fn viewers(services: &Services, post_id: Uuid) -> Result<i64, ServiceError> {
    let mut conn = services.db.conn().await?;
    Ok(presence::total(&mut conn, post_id, Utc::now() - DEAD_AFTER).await?)
}

fn changed(post_id: Uuid) -> NewEvent {
    NewEvent { kind: EventKind::ViewersChanged, subject: post_id, payload: json!({}), actor: None, at: Utc::now() }
}
