//! How the tailers of other processes are woken early. Losing a message costs latency only.

use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};

use crate::store::{self, Db, DbError};

/// Longest that waking the others may take; who was not woken polls.
const LONGEST_WAKE_UP: Duration = Duration::from_secs(1);

/// The way to wake the others.
pub enum Bus {
    /// There are no other processes: the embedded database.
    Alone,
    /// Postgres LISTEN and NOTIFY.
    Postgres,
    /// Redis publish and subscribe.
    Redis { publisher: Client, subscriber: SubscriberClient, channel: String },
}

impl Bus {
    /// Wakes the tailers of the other processes.
    pub(super) async fn wake_others(&self, db: &Db, process: &str) {
        let waking = async {
            match self {
                Self::Alone => Ok(()),
                Self::Postgres => {
                    let notified = async { store::events::notify(&mut *db.conn().await?, process).await };
                    notified.await.map_err(|error: DbError| error.to_string())
                }
                Self::Redis { publisher, channel, .. } => {
                    publisher.publish::<(), _, _>(channel, process).await.map_err(|error| error.to_string())
                }
            }
        };
        match tokio::time::timeout(LONGEST_WAKE_UP, waking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "could not wake the other processes; they poll"),
            Err(_) => tracing::debug!("waking the other processes took too long; they poll"),
        }
    }

    /// Calls `wake` for each message of another process, until the connection is lost.
    pub(super) async fn listen(&self, db: &Db, process: &str, wake: impl Fn()) {
        match self {
            Self::Alone => std::future::pending().await,
            Self::Postgres => {
                let wake = |from: &str| {
                    if from != process {
                        wake()
                    }
                };
                if let Err(error) = store::events::listen(db, wake).await {
                    tracing::warn!(%error, "listening for events was interrupted; polling until it is back");
                }
            }
            Self::Redis { subscriber, channel, .. } => {
                let mut messages = subscriber.message_rx();
                let mut reconnected = subscriber.reconnect_rx();
                if let Err(error) = subscriber.subscribe(channel).await {
                    tracing::warn!(%error, "could not subscribe to events in Redis; polling until it is back");
                    return;
                }
                loop {
                    tokio::select! {
                        message = messages.recv() => match message {
                            // Its own.
                            Ok(message) if message.value.as_str().as_deref() == Some(process) => {}
                            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => wake(),
                            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                        },
                        _ = reconnected.recv() => {
                            if let Err(error) = subscriber.subscribe(channel).await {
                                tracing::warn!(%error, "could not subscribe to events in Redis again");
                                return;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Lets go of the connections.
    pub async fn close(&self) {
        if let Self::Redis { subscriber, .. } = self
            && let Err(error) = subscriber.quit().await
        {
            tracing::debug!(%error, "closing the Redis subscriber");
        }
    }
}
