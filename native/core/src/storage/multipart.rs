// SPDX-License-Identifier: Apache-2.0
//! Puts files without ever having more of them in memory than a part. What fails is that part: the next attempt goes on
//! with it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, PutMultipartOptions, PutOptions};
use sha2::{Digest, Sha256};

use crate::locked::Locked;
use crate::log;
use crate::names;
use crate::storage::client;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::proof::{judge, PartDigests, SentContent, Verdict};
use crate::storage::store::{within, ObjectKind, Proof, Store};

/// What fits into one request; stores want parts of at least 5 MiB.
const PART: u64 = 8 << 20;
/// Stores take 10,000.
const MOST_PARTS: u64 = 9_000;
/// Putting the parts together takes stores up to some minutes, however large they are.
const COMPLETION: Duration = Duration::from_secs(600);

/// Uploads that have begun, by the names of their files.
#[derive(Default)]
pub struct Unfinished(Mutex<HashMap<String, Upload>>);

/// A file to put.
#[derive(Clone, Copy)]
pub struct Local<'a> {
    pub path: &'a Path,
    /// Its SHA-256 in hexadecimal digits, where that is known.
    pub sha256: Option<&'a str>,
    /// Hears of each part that the store took.
    pub taken: &'a (dyn Fn() + Send + Sync),
}

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub bytes: u64,
    pub sha256: String,
    pub proof: Proof,
}

struct Upload {
    id: MultipartId,
    bytes: u64,
    parts: Vec<PartId>,
    /// Digests of what is there.
    digests: PartDigests,
    sha256: Sha256,
    /// Whether each part was proved by its own answer.
    proved: bool,
}

impl Store {
    /// Returns once the store has said that it holds the file, and proved it as far as it can. A file that is not what its
    /// SHA-256 says is put nowhere: `StoreCause::Damaged`.
    pub async fn put_file(&self, name: &str, kind: ObjectKind, file: Local<'_>) -> Result<Put, StoreError> {
        let bytes = std::fs::metadata(file.path).map_err(|error| unreadable(file.path, &error))?.len();
        if bytes > PART {
            return self.put_in_parts(name, kind, file, bytes).await;
        }
        let content = read(file.path, 0, PART).await?;
        let found = names::hex(&Sha256::digest(&content));
        is_sound(file, &found)?;
        let bytes = content.len() as u64;
        let proof = self.put(name, kind, content).await?;
        Ok(Put { bytes, sha256: found, proof })
    }

    async fn put_in_parts(&self, name: &str, kind: ObjectKind, file: Local<'_>, bytes: u64) -> Result<Put, StoreError> {
        let key = self.key(name)?;
        let begun = self.unfinished.0.locked().remove(name).filter(|upload| upload.bytes == bytes);
        let mut upload = match begun {
            Some(upload) => upload,
            None => self.begin(&key, kind, bytes).await?,
        };
        let outcome = self.go_on(&key, &mut upload, file).await;
        if let Err(failure) = &outcome {
            match &failure.cause {
                // The store has forgotten it, as a rule of its own may tell it to.
                StoreCause::Refusal(code) if code == "NoSuchUpload" => {}
                StoreCause::Damaged | StoreCause::Unverified => {
                    // A store that does not answer keeps the parts, until a rule of its own removes them.
                    let _ = self.ask(0, self.bucket.abort_multipart(&key, &upload.id)).await;
                }
                _ => drop(self.unfinished.0.locked().insert(name.to_owned(), upload)),
            }
        }
        outcome
    }

    async fn begin(&self, key: &Key, kind: ObjectKind, bytes: u64) -> Result<Upload, StoreError> {
        let PutOptions { attributes, tags, .. } = self.options(kind);
        let options = PutMultipartOptions { attributes, tags, ..PutMultipartOptions::default() };
        let id = self.ask(0, self.bucket.create_multipart_opts(key, options)).await?;
        let digests = PartDigests::default();
        Ok(Upload { id, bytes, parts: Vec::new(), digests, sha256: Sha256::new(), proved: true })
    }

    async fn go_on(&self, key: &Key, upload: &mut Upload, file: Local<'_>) -> Result<Put, StoreError> {
        let most = part_size(upload.bytes);
        loop {
            let at = upload.digests.sent().bytes;
            let content = read(file.path, at, most).await?;
            if content.is_empty() {
                break;
            }
            self.put_part(key, upload, content).await?;
            (file.taken)();
        }
        let found = names::hex(&upload.sha256.clone().finalize());
        is_sound(file, &found)?;
        let proof = self.complete(key, upload).await?;
        Ok(Put { bytes: upload.digests.sent().bytes, sha256: found, proof })
    }

    async fn put_part(&self, key: &Key, upload: &mut Upload, content: Bytes) -> Result<(), StoreError> {
        let sent = SentContent::of(&content);
        let put = self.bucket.put_part(key, &upload.id, upload.parts.len(), content.clone().into());
        let (part, told) = client::heard(self.ask(sent.bytes, put)).await;
        let part = part?;
        match judge(&told, &sent) {
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
        let complete = async {
            let request = self.bucket.complete_multipart(key, &upload.id, upload.parts.clone());
            request.await.map_err(|error| StoreError::from_error(&error))
        };
        let verdict = match within(COMPLETION, complete).await {
            Ok(_) if upload.proved => Verdict::Proved,
            Ok(_) => Verdict::Silent,
            // An answer that was lost on its way may have said that all is there.
            Err(failure) if failure.cause == StoreCause::Refusal("NoSuchUpload".to_owned()) => {
                return match self.prove(key, Verdict::Silent, &sent).await {
                    Ok(Proof::Compared) => Ok(Proof::Compared),
                    _ => Err(failure),
                }
            }
            Err(failure) => return Err(failure),
        };
        self.prove(key, verdict, &sent).await
    }
}

/// At most so many bytes of the file from there on; none at its end.
async fn read(path: &Path, at: u64, most: u64) -> Result<Bytes, StoreError> {
    let path = path.to_owned();
    let of_file = path.clone();
    let reading = log::spawn_blocking(move || {
        let mut file = File::open(&of_file)?;
        file.seek(SeekFrom::Start(at))?;
        let mut content = Vec::new();
        file.take(most).read_to_end(&mut content)?;
        std::io::Result::Ok(Bytes::from(content))
    });
    let content = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    content.map_err(|error| unreadable(&path, &error))
}

fn is_sound(file: Local, found: &str) -> Result<(), StoreError> {
    if file.sha256.is_none_or(|expected| expected == found) {
        return Ok(());
    }
    Err(StoreError::new(StoreCause::Damaged, format!("{}: its content is not what was written", file.path.display())))
}

fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MOST_PARTS))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::new(StoreCause::LocalFile, format!("{}: {error}", path.display()))
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
