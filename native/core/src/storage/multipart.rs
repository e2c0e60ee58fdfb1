// SPDX-License-Identifier: Apache-2.0
//! Puts a large file into a bucket in parts, without ever having more of it in memory than one. What fails is that part: the next attempt
//! begins with it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::MultipartId;
use sha2::{Digest, Sha256};

use crate::locked::Locked;
use crate::names;
use crate::storage::bucket::{found_is, BucketStore, Protocol};
use crate::storage::client;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::proof::{compare, PartDigests, SentContent, Verdict};
use crate::storage::store::{in_time, within, ObjectKind, Proof, Put};

/// What fits into one request; stores want parts of at least 5 MiB.
pub const PART: u64 = 8 << 20;
/// Stores take 10,000.
const MOST_PARTS: u64 = 9_000;
/// Putting the parts together takes stores up to some minutes, however large they are.
const COMPLETION: Duration = Duration::from_secs(600);

/// Uploads that have begun, by the names of their files.
#[derive(Default)]
pub struct Unfinished(Mutex<HashMap<String, Upload>>);

struct Upload {
    id: MultipartId,
    kind: ObjectKind,
    bytes: u64,
    parts: Vec<PartId>,
    /// Digests of what is there.
    digests: PartDigests,
    sha256: Sha256,
    /// Whether each part was proved by its own answer.
    proved: bool,
    /// Whether an answer said that it is encrypted as it is asked to be: some stores say so of parts alone.
    encrypted: bool,
}

impl<P: Protocol> BucketStore<P> {
    /// As `put_file`, for a file of so many bytes.
    pub(super) async fn put_in_parts(
        &self,
        name: &str,
        kind: ObjectKind,
        file: LocalFile<'_>,
        bytes: u64,
    ) -> Result<Put, StoreError> {
        let key = self.key(name)?;
        let begun = self.unfinished.0.locked().remove(name).filter(|upload| upload.bytes == bytes);
        let mut upload = match begun {
            Some(upload) => upload,
            None => match self.is_there(&key, file, bytes).await? {
                Some(put) => return Ok(put),
                None => self.begin(&key, kind, bytes).await?,
            },
        };
        let outcome = self.put_rest(&key, &mut upload, file).await;
        if let Err(failure) = &outcome {
            match &failure.cause {
                // The store has forgotten it, as a rule of its own may tell it to.
                cause if cause.is_of_forgotten_parts() => {}
                StoreCause::Damaged | StoreCause::Unverified => {
                    // A store that does not answer keeps the parts, until a rule of its own removes them.
                    let parts = self.protocol.parts();
                    let _ = self.ask(0, parts.abort_multipart(&key, &upload.id)).await;
                }
                _ => drop(self.unfinished.0.locked().insert(name.to_owned(), upload)),
            }
        }
        outcome
    }

    /// The file as an attempt before this one put it, where nothing is put twice and the store lets that be seen: some put
    /// parts together in place of an object that they let nobody replace otherwise.
    async fn is_there(&self, key: &Key, file: LocalFile<'_>, bytes: u64) -> Result<Option<Put>, StoreError> {
        if !self.target.write_once {
            return Ok(None);
        }
        let Ok(found) = self.head(key).await else { return Ok(None) };
        let (mut digests, mut sha256) = (PartDigests::default(), Sha256::new());
        loop {
            let content = file.read(digests.sent().bytes, part_size(bytes)).await?;
            if content.is_empty() {
                break;
            }
            digests.add(&content);
            sha256.update(&content);
        }
        let sha256 = names::hex(&sha256.finalize());
        file.check(&sha256)?;
        let sent = digests.sent();
        let occupied = || StoreError::new(StoreCause::Occupied, "as a request for it says");
        let proof = found_is(&found, &sent, None).map_err(|other| other.of_another_object(&occupied()))?;
        Ok(Some(Put { bytes: sent.bytes, sha256, proof }))
    }

    async fn begin(&self, key: &Key, kind: ObjectKind, bytes: u64) -> Result<Upload, StoreError> {
        let begin = in_time(0, self.protocol.begin(key, self.options(kind)));
        let (id, headers) = client::with_headers(begin).await;
        let id = id?;
        let encrypted = self.check_encrypted(&headers).is_ok();
        let (parts, digests, sha256) = (Vec::new(), PartDigests::default(), Sha256::new());
        Ok(Upload { id, kind, bytes, parts, digests, sha256, proved: true, encrypted })
    }

    /// Puts the parts that the store does not have, and has it put them together.
    async fn put_rest(&self, key: &Key, upload: &mut Upload, file: LocalFile<'_>) -> Result<Put, StoreError> {
        let most = part_size(upload.bytes);
        loop {
            let at = upload.digests.sent().bytes;
            let content = file.read(at, most).await?;
            if content.is_empty() {
                break;
            }
            self.put_part(key, upload, content).await?;
            (file.taken)();
        }
        let found = names::hex(&upload.sha256.clone().finalize());
        file.check(&found)?;
        let proof = self.complete(key, upload).await?;
        Ok(Put { bytes: upload.digests.sent().bytes, sha256: found, proof })
    }

    async fn put_part(&self, key: &Key, upload: &mut Upload, content: Bytes) -> Result<(), StoreError> {
        let sent = SentContent::of(&content);
        let parts = self.protocol.parts();
        let put = parts.put_part(key, &upload.id, upload.parts.len(), content.clone().into());
        let (part, headers) = client::with_headers(self.ask(sent.bytes, put)).await;
        let part = part?;
        if !upload.encrypted {
            self.check_encrypted(&headers)?;
            upload.encrypted = true;
        }
        match compare(&headers, &sent) {
            Verdict::Proved => {}
            Verdict::Disproved(why) => return Err(StoreError::new(StoreCause::Unverified, why)),
            Verdict::Doubtful(_) | Verdict::Silent => upload.proved = false,
        }
        upload.parts.push(part);
        upload.digests.add(&content);
        upload.sha256.update(&content);
        Ok(())
    }

    async fn complete(&self, key: &Key, upload: &Upload) -> Result<Proof, StoreError> {
        let sent = upload.digests.sent();
        let options = self.options(upload.kind);
        let complete = self.protocol.complete(key, &upload.id, upload.parts.clone(), options);
        let (answer, headers) = client::with_headers(within(COMPLETION, complete)).await;
        let verdict = match answer {
            Ok(()) => of_the_whole(compare(&headers, &sent), upload.proved),
            // An answer that was lost on its way may have said that all is there.
            Err(failure) if failure.cause.is_of_forgotten_parts() => {
                return match self.prove(key, Verdict::Silent, &sent).await {
                    Ok(Proof::Compared) => Ok(Proof::Compared),
                    _ => Err(failure),
                }
            }
            Err(failure) => {
                // The parts are there still, and the next attempt puts them together without.
                self.knows_no_condition(&failure);
                return self.found_there(key, &sent, failure).await;
            }
        };
        self.prove(key, verdict, &sent).await
    }
}

/// The verdict of an object whose parts were put together, by the answer to that and those to each part.
fn of_the_whole(verdict: Verdict, parts_proved: bool) -> Verdict {
    match verdict {
        Verdict::Disproved(_) => verdict,
        _ if parts_proved => Verdict::Proved,
        Verdict::Proved => verdict,
        Verdict::Doubtful(_) | Verdict::Silent => Verdict::Silent,
    }
}

fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MOST_PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_file_so_that_no_file_has_too_many() {
        assert_eq!(part_size(PART + 1), PART);
        let large = 5 << 40;
        assert!(large / part_size(large) <= MOST_PARTS);
    }
}
