// SPDX-License-Identifier: Apache-2.0
//! What is known of a recording, durably: every fact is written to the journal first and to the ledger then, so that
//! a process that is killed finds again all that it knew.

pub mod journal;
pub mod ledger;
pub mod manifest;
pub mod playlist;
pub mod record;

use std::path::Path;

use crate::error::Error;
use journal::Journal;
use ledger::Ledger;
use record::Record;

pub struct Catalog {
    journal: Journal,
    ledger: Ledger,
}

impl Catalog {
    /// The catalog in the directory: what an earlier process wrote, or a new one that is still empty.
    pub fn open(directory: &Path, file_prefix: &str) -> Result<Self, Error> {
        let (journal, records) = Journal::open(directory, file_prefix)?;
        let mut ledger = Ledger::default();
        for record in records {
            ledger.apply(record);
        }
        Ok(Self { journal, ledger })
    }

    /// Returns once the fact is durable.
    pub fn write(&mut self, record: Record) -> Result<(), Error> {
        self.journal.append(&record)?;
        self.ledger.apply(record);
        Ok(())
    }

    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
