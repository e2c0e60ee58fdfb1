// SPDX-License-Identifier: Apache-2.0
//! Playlists, manifests and journals on their way into a store.

use bytes::Bytes;

use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::{ObjectKind, Store};

/// Puts the text. Where nothing is put twice a manifest that is there stays: whoever put it died or went on, and what it says
/// of the files beside it is as true as ever.
pub async fn put_or_keep(store: &dyn Store, name: &str, kind: ObjectKind, text: &str) -> Result<(), StoreError> {
    let put = store.put(name, kind, Bytes::copy_from_slice(text.as_bytes())).await;
    match put {
        Err(failure) if failure.cause == StoreCause::Occupied && kind == ObjectKind::Manifest => {
            tracing::warn!(file = name, detail = %failure, "an earlier one of this name stays, as nothing is put twice");
            Ok(())
        }
        put => put.map(drop),
    }
}
