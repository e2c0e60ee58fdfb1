// SPDX-License-Identifier: Apache-2.0
//! What the trial of the bucket leaves there of a recording that has recorded nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::storage::credentials::Credentials;
use crate::storage::store;

/// Nobody waits for this long.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct ProbeCleanup {
    pub credentials: Credentials,
    pub catalog: Arc<Catalog>,
}

impl ProbeCleanup {
    /// Removes the empty playlist, in one attempt: a key that may only put objects cannot, and then it stays.
    pub async fn remove(&self) {
        let (begun, name) = {
            let ledger = self.catalog.ledger();
            (ledger.begun().cloned(), ledger.playlist_name())
        };
        // Where nothing is put twice nothing was put to try the bucket.
        let begun = begun.filter(|begun| !begun.target.is_write_once());
        let Some((begun, name)) = begun.zip(name) else { return };
        let Ok(store) = store::open(&begun.target, &self.credentials) else { return };
        if let Ok(Err(failure)) = tokio::time::timeout(PATIENCE, store.delete(&name)).await {
            tracing::debug!(%failure, file = name, "the empty playlist stays where it is");
        }
    }
}
