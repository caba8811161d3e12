//! The transactions of an import, and of its rehearsal.

use super::ImportOptions;
use crate::events::NewEvent;
use crate::services::{ServiceError, Services};
use crate::store::Tx;

/// An import under way.
///
/// Each step is a transaction of its own. A dry run takes the same steps in one transaction that is
/// never committed, so that what it reports is what would happen.
pub struct Run<'a> {
    pub services: &'a Services,
    pub options: &'a ImportOptions,
    rehearsal: Option<Tx>,
}

impl<'a> Run<'a> {
    pub async fn begin(services: &'a Services, options: &'a ImportOptions) -> Result<Self, ServiceError> {
        let rehearsal = if options.dry_run { Some(services.db.begin().await?) } else { None };
        Ok(Self { services, options, rehearsal })
    }

    /// The transaction of the next step; it goes back through [`Run::end`] or [`Run::refused`].
    pub async fn step(&mut self) -> Result<Tx, ServiceError> {
        match self.rehearsal.take() {
            Some(tx) => Ok(tx),
            None => Ok(self.services.db.begin().await?),
        }
    }

    /// Ends a step that was taken.
    pub async fn end(&mut self, tx: Tx, events: &[NewEvent]) -> Result<(), ServiceError> {
        if self.options.dry_run {
            self.rehearsal = Some(tx);
            return Ok(());
        }
        Ok(self.services.commit(tx, events).await?)
    }

    /// Ends the import; of a dry run nothing stays.
    pub async fn finish(self) -> Result<(), ServiceError> {
        match self.rehearsal {
            Some(tx) => Ok(tx.rollback().await?),
            None => Ok(()),
        }
    }

    /// Ends a step that was refused before it wrote anything.
    pub fn refused(&mut self, tx: Tx) {
        if self.options.dry_run {
            self.rehearsal = Some(tx);
        }
    }
}
