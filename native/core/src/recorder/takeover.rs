// SPDX-License-Identifier: Apache-2.0
//! What an earlier process of the same program left is delivered by the next start of it: by one with the same App ID,
//! channel and uid, into the same place. It goes on beside the new recording, under the names that it has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::catalog::journal::Journal;
use crate::catalog::ledger::Ledger;
use crate::catalog::record::{Begun, Record};
use crate::catalog::Catalog;
use crate::config;
use crate::names;
use crate::recorder::arguments::Request;
use crate::recorder::delivery::{deliver, DeliveryOptions};
use crate::recorder::rescue;
use crate::recorder::start::Plan;
use crate::storage::target::Target;

/// Who records, as a digest: an App ID is nobody else's to read.
#[must_use]
pub fn origin(request: &Request) -> String {
    let mut digest = Sha256::new();
    for text in [request.app_id, request.channel_name] {
        let text = text.unwrap_or_default();
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    digest.update(request.uid.to_be_bytes());
    names::hex(&digest.finalize())
}

/// What a start takes up.
pub struct Takeover {
    root: PathBuf,
    /// The new recording's own directory.
    own: PathBuf,
    origin: Option<String>,
    target: Target,
    options: DeliveryOptions,
    log: config::LogSettings,
}

impl Takeover {
    #[must_use]
    pub fn new(plan: &Plan, log: &config::LogSettings) -> Option<Self> {
        Some(Self {
            root: plan.directory.parent()?.to_owned(),
            own: plan.directory.clone(),
            origin: plan.begun.origin.clone(),
            target: plan.begun.target.clone(),
            options: DeliveryOptions {
                credentials: plan.credentials.clone(),
                backup: plan.backup.clone(),
                ca_file: plan.begun.target.ca_file().map(Path::to_owned),
                proxy_url: plan.begun.target.proxy_url().cloned(),
                volume_limits: plan.volume.limits,
                keep_directory: plan.keep_directory,
                location: None,
            },
            log: log.clone(),
        })
    }

    /// Returns once all of it is delivered; what cannot be read or is another process's stays as it is.
    pub fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return warn!("what earlier processes left is not looked for: {error}"),
        };
        for directory in rescue::recordings(&self.root).unwrap_or_default() {
            for prefix in Journal::prefixes(&directory).unwrap_or_default() {
                if directory != self.own && self.may_be_ours(&directory, &prefix) {
                    runtime.block_on(self.deliver(&directory, &prefix));
                }
            }
        }
    }

    /// Looked at without taking the journal, which may be in use.
    fn may_be_ours(&self, directory: &Path, prefix: &str) -> bool {
        matches!(Journal::first(directory, prefix), Some(Record::Begun(begun)) if begun.origin == self.origin)
    }

    /// By what was written last: it may have gone on as somebody else's, or moved.
    fn is_ours(&self, ledger: &Ledger) -> bool {
        let ours = |begun: &Begun| begun.origin == self.origin && begun.target.is_at(&self.target);
        !ledger.is_concluded() && ledger.begun().is_some_and(ours)
    }

    async fn deliver(&self, directory: &Path, prefix: &str) {
        let catalog = match Catalog::open(directory, prefix) {
            Ok(catalog) => catalog,
            Err(error) => return info!("not taken up: {error}"),
        };
        if !self.is_ours(&catalog.ledger()) {
            return;
        }
        info!("what an earlier process left in {} is delivered now", directory.display());
        let log = rescue::log_of(directory, &self.log);
        // The runtime is this thread's own, so nothing else runs meanwhile.
        let _log = log.enter();
        info!("delivered by a start with the same App ID, channel and uid");
        if let Err(error) = deliver(&Arc::new(catalog), directory, &self.options, |_| Ok(())).await {
            warn!("not delivered: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::begun;
    use crate::config::{Document, Storage};
    use crate::recorder::start::tests::request;
    use crate::storage::vendor::Vendor;

    #[test]
    fn an_origin_tells_app_channel_and_uid_apart_and_names_none() {
        let good = request();
        let others = [
            Request { app_id: Some("ap"), channel_name: Some("proom"), ..good },
            Request { channel_name: Some("hall"), ..good },
            Request { uid: 1, ..good },
        ];
        assert_eq!(origin(&good), origin(&Request { width: 16, bucket: Some("other"), ..good }));
        assert!(others.iter().all(|other| origin(other) != origin(&good)));
        assert_eq!(origin(&good).len(), 64);
    }

    #[test]
    fn the_beginning_that_was_written_last_says_whose_a_recording_is() {
        let text =
            r#"{"workDir": "/w", "channels": [{"name": "room", "streams": [{"uid": 1, "url": "srt://127.0.0.1:9"}]}]}"#;
        let document = Document::parse(text).unwrap();
        let plan = Plan::new(&"0".repeat(32), &document, &request()).unwrap();
        let ours = Begun { target: plan.begun.target.clone(), origin: plan.begun.origin.clone(), ..begun() };
        let others = Begun { origin: Some("somebody".into()), ..ours.clone() };
        let elsewhere =
            Begun { target: Target::new(Vendor::Aws, "us-east-1", "elsewhere", &Storage::default()), ..ours.clone() };
        let takeover = Takeover::new(&plan, &config::LogSettings::default()).unwrap();
        let is_taken_up = |begun: &[&Begun], more: Option<Record>| {
            let mut ledger = Ledger::default();
            for begun in begun {
                ledger.apply(Record::Begun(Box::new((*begun).clone())));
            }
            if let Some(record) = more {
                ledger.apply(record);
            }
            takeover.is_ours(&ledger)
        };
        assert!(is_taken_up(&[&ours], None));
        assert!(is_taken_up(&[&elsewhere, &ours], None));
        for last in [&others, &elsewhere, &begun()] {
            assert!(!is_taken_up(&[&ours, last], None));
        }
        assert!(!is_taken_up(&[&ours], Some(Record::Concluded)));
    }
}
