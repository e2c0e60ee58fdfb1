// SPDX-License-Identifier: Apache-2.0
//! What is known of a recording, durably: every fact is written to the journal first and to the ledger then, so that
//! a process that is killed finds again all that it knew. Who reads never waits for the disk.
//!
//! - `record`: the facts, as the journal has them.
//! - `journal`: the file of facts, and finding again what a killed process wrote.
//! - `ledger`: what follows from them: slices, what is stored of them, participants.
//! - `gaps`: what is missing between slices, and why.
//! - `playlist`: the HLS playlist, live and final.
//! - `manifest`: the JSON beside it, which says what was recorded.
//! - `part_playlist`, `merge`: playlists of several parts read back, and one playlist and one manifest over all of them.

pub mod gaps;
pub mod journal;
pub mod ledger;
pub mod manifest;
pub mod merge;
pub mod part_playlist;
pub mod playlist;
pub mod record;

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use crate::error::Error;
use crate::locked::Locked;
use journal::Journal;
use ledger::Ledger;
use record::Record;

/// A fact could not be made durable. Only the journal makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError(Error);

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Self {
        error.0
    }
}

pub struct Catalog {
    /// Held until the fact is in the ledger, too: both have the same order.
    journal: Mutex<Journal>,
    /// Never held while anything waits for the disk.
    ledger: Mutex<Ledger>,
}

impl Catalog {
    /// The catalog in the directory: what an earlier process wrote, or a new one that is still empty.
    pub fn open(directory: &Path, file_prefix: &str) -> Result<Self, Error> {
        let (journal, records) = Journal::open(directory, file_prefix)?;
        let mut ledger = Ledger::default();
        for record in records {
            ledger.apply(record);
        }
        Ok(Self { journal: Mutex::new(journal), ledger: Mutex::new(ledger) })
    }

    /// Returns once the fact is durable. Not to be called by who holds the ledger.
    pub fn write(&self, record: Record) -> Result<(), CatalogError> {
        let mut journal = self.journal.locked();
        journal.append(&record)?;
        self.ledger.locked().apply(record);
        Ok(())
    }

    /// What is durable by now.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.locked()
    }
}

#[cfg(test)]
pub mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread::JoinHandle;

    use super::*;

    /// A catalog that somebody is writing this fact into while its disk stands still; it goes on when the other end is read.
    pub(crate) fn stalled(record: Record) -> (Arc<Catalog>, UnixStream, JoinHandle<Result<(), CatalogError>>) {
        let (mut disk, other_end) = UnixStream::pair().unwrap();
        disk.set_nonblocking(true).unwrap();
        while disk.write(&[0; 4096]).is_ok() {}
        disk.set_nonblocking(false).unwrap();
        let journal = Journal::upon(File::from(OwnedFd::from(disk)));
        let catalog = Arc::new(Catalog { journal: Mutex::new(journal), ledger: Mutex::default() });
        let writing = Arc::clone(&catalog);
        let writer = std::thread::spawn(move || writing.write(record));
        while catalog.journal.try_lock().is_ok() {
            std::thread::yield_now();
        }
        (catalog, other_end, writer)
    }

    #[test]
    fn a_fact_is_known_once_it_is_durable_and_nobody_waits_for_it_to_read_the_others() {
        let (catalog, mut other_end, writer) = stalled(Record::Concluded);
        assert!(!catalog.ledger().is_concluded());
        assert!(!writer.is_finished());
        let draining = std::thread::spawn(move || other_end.read_to_end(&mut Vec::new()));
        // What stands for the disk takes the line, but is none that could make it durable.
        assert!(writer.join().unwrap().is_err());
        assert!(!catalog.ledger().is_concluded());
        drop(catalog);
        draining.join().unwrap().unwrap();
    }
}
