//! How the tailers of other processes are woken early. Losing a message costs latency only.

use fred::clients::{Client, SubscriberClient};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};

use crate::store::{self, Conn, Db, DbError};

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
    pub(super) async fn before_commit(&self, conn: &mut Conn) -> Result<(), DbError> {
        match self {
            Self::Postgres => store::events::notify(conn).await,
            Self::Alone | Self::Redis { .. } => Ok(()),
        }
    }

    pub(super) fn after_commit(&self) {
        if let Self::Redis { publisher, channel, .. } = self {
            let (publisher, channel) = (publisher.clone(), channel.clone());
            tokio::spawn(async move {
                if let Err(error) = publisher.publish::<(), _, _>(channel, "").await {
                    tracing::debug!(%error, "could not wake the other processes through Redis; they poll");
                }
            });
        }
    }

    /// Calls `wake` for each message of another process, until the connection is lost.
    pub(super) async fn listen(&self, db: &Db, wake: impl Fn()) {
        match self {
            Self::Alone => std::future::pending().await,
            Self::Postgres => {
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
