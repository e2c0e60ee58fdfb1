// SPDX-License-Identifier: Apache-2.0
//! What `cr_status` says of a recording that this process rescues, or has rescued: what its catalog says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::catalog::Catalog;
use crate::locked::Locked;
use crate::recorder::machine::{BucketHealth, State};
use crate::recorder::shared::snapshot_of_catalog;

static ACCOUNTS: Mutex<BTreeMap<String, Account>> = Mutex::new(BTreeMap::new());

enum Account {
    UnderWay(Arc<Catalog>, BucketHealth),
    /// The last snapshot: the catalog is given back, as another process may want it, and goes with the directory.
    Over(String),
}

/// Shows the recording's catalog for as long as it lives, and its last snapshot from then on.
pub struct Shown {
    recording_id: String,
    catalog: Arc<Catalog>,
}

impl Shown {
    pub fn new(recording_id: String, catalog: &Arc<Catalog>) -> Self {
        let shown = Self { recording_id, catalog: Arc::clone(catalog) };
        shown.show_health(&BucketHealth::default());
        shown
    }

    /// Whether the bucket takes what is put.
    pub fn show_health(&self, health: &BucketHealth) {
        let account = Account::UnderWay(Arc::clone(&self.catalog), health.clone());
        ACCOUNTS.locked().insert(self.recording_id.clone(), account);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let health = match ACCOUNTS.locked().get(&self.recording_id) {
            Some(Account::UnderWay(_, health)) => health.clone(),
            _ => BucketHealth::default(),
        };
        let last = snapshot(&self.recording_id, &self.catalog, health);
        ACCOUNTS.locked().insert(self.recording_id.clone(), Account::Over(last));
    }
}

/// The snapshot of a recording that is being rescued, or was.
pub fn status(recording_id: &str) -> Option<String> {
    let (catalog, health) = match ACCOUNTS.locked().get(recording_id)? {
        Account::UnderWay(catalog, health) => (Arc::clone(catalog), health.clone()),
        Account::Over(last) => return Some(last.clone()),
    };
    Some(snapshot(recording_id, &catalog, health))
}

fn snapshot(recording_id: &str, catalog: &Catalog, health: BucketHealth) -> String {
    let ledger = catalog.ledger();
    let state = match (ledger.is_concluded(), ledger.is_concluded_in_backup()) {
        (true, _) => State::Uploaded,
        (false, true) => State::BackedUp,
        (false, false) => State::Uploading,
    };
    snapshot_of_catalog(recording_id, state, health, &ledger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{begun, delivered, slice};
    use crate::catalog::record::Record;
    use crate::test_support::Scratch;

    #[test]
    fn a_rescue_shows_how_far_it_is_and_how_it_ended() {
        let scratch = Scratch::new();
        let catalog = Arc::new(Catalog::open(scratch.path(), "").unwrap());
        catalog.write(Record::Begun(Box::new(begun()))).unwrap();
        for record in slice("a", 1, 15_000) {
            catalog.write(record).unwrap();
        }
        assert_eq!(status("rescued"), None);
        let shown = Shown::new("rescued".to_owned(), &catalog);
        let says = |words: &str| assert!(status("rescued").unwrap().contains(words), "{:?}", status("rescued"));
        says(r#""slices":{"written":1,"uploaded":0,"#);
        catalog.write(delivered("a")).unwrap();
        says(r#""slices":{"written":1,"uploaded":1,"#);
        says(r#""state":"Uploading""#);
        catalog.write(Record::Stopped { at: 15_001 }).unwrap();
        catalog.write(Record::Concluded).unwrap();
        drop((shown, catalog));
        says(r#""state":"Uploaded""#);
        says(r#""recordedMilliseconds":15000"#);
        Catalog::open(scratch.path(), "").expect("nobody has the catalog any more");
    }
}
