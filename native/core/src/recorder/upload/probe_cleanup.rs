// SPDX-License-Identifier: Apache-2.0
//! What the trial of the bucket leaves there of a recording that has recorded nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::names;
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
        let begun = self.catalog.ledger().begun().cloned();
        // Where nothing is put twice nothing was put to try the bucket.
        let Some(begun) = begun.filter(|begun| !begun.target.is_write_once()) else { return };
        let name = names::playlist(&begun.stem);
        let Ok(store) = store::open(&begun.target, &self.credentials) else { return };
        if let Ok(Err(failure)) = tokio::time::timeout(PATIENCE, store.delete(&name)).await {
            tracing::debug!(%failure, file = name, "the empty playlist stays where it is");
        }
    }
}
