// SPDX-License-Identifier: Apache-2.0
//! Files of a recording going to another location, for as long as the bucket has none of them.

use std::sync::mpsc::SyncSender;

use crate::catalog::ledger::Ledger;
use crate::config::BucketLocation;
use crate::error::{Code, Error};
use crate::storage::target::Target;

/// Somebody wants the files to go elsewhere; the answer says whether they do.
#[derive(Debug)]
pub struct RelocateRequest {
    pub location: BucketLocation,
    pub answer: SyncSender<Result<(), Error>>,
}

/// The target at the other location: for as long as the bucket has nothing of the recording.
pub fn moved(ledger: &Ledger, location: &BucketLocation) -> Result<Target, Error> {
    let refused = |message: String| Err(Error::new(Code::InvalidOperation, message));
    let Some(begun) = ledger.begun() else { return refused("nothing is being recorded".to_owned()) };
    let Some(target) = begun.target.moved(location) else {
        let (location, kind) = (begun.target.location(), begun.target.noun());
        return refused(format!("its files go to {location}, and a {kind} stays what it is"));
    };
    if target == begun.target {
        return Ok(target);
    }
    // A proxy is on the way there, and may be another at any time.
    let has_moved = begun.target.clone().behind(target.proxy_url().cloned()) != target;
    if has_moved && ledger.has_reached_bucket() {
        return refused(format!("files of the recording are in {} already, and stay there", begun.target.location()));
    }
    if begun.backup.as_ref().is_some_and(|backup| backup.is_at(&target)) {
        return refused("it is the backup store's place".to_owned());
    }
    Ok(target)
}
