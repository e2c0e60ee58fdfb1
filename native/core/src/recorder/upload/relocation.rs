// SPDX-License-Identifier: Apache-2.0
//! Files of a recording going to another place, for as long as the bucket has none of them.

use std::sync::mpsc::SyncSender;

use crate::catalog::ledger::Ledger;
use crate::config::BucketPlace;
use crate::error::{Code, Error};
use crate::storage::target::Target;

/// Somebody wants the files to go elsewhere; the answer says whether they do.
#[derive(Debug)]
pub struct RelocateRequest {
    pub place: BucketPlace,
    pub answer: SyncSender<Result<(), Error>>,
}

/// The target at the other place: for as long as the bucket has nothing of the recording.
pub fn moved(ledger: &Ledger, place: &BucketPlace) -> Result<Target, Error> {
    let refused = |message: String| Err(Error::new(Code::InvalidOperation, message));
    let Some(begun) = ledger.begun() else { return refused("nothing is being recorded".to_owned()) };
    let target = begun.target.moved(place);
    if target == begun.target {
        return Ok(target);
    }
    if ledger.has_reached_bucket() {
        return refused(format!("files of the recording are in {} already, and stay there", begun.target.place()));
    }
    if begun.backup.as_ref().is_some_and(|backup| backup.is_at(&target)) {
        return refused("it is the backup store's place".to_owned());
    }
    Ok(target)
}
