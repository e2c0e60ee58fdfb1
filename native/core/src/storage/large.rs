// SPDX-License-Identifier: Apache-2.0
//! Puts files that are too large for memory, part by part.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use md5::Md5;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{MultipartId, PutMultipartOptions, PutOptions};
use sha2::{Digest, Sha256};

use crate::names;
use crate::storage::failure::{Cause, Failure};
use crate::storage::store::{in_time, Kind, Store};

/// What fits into one request; stores want parts of at least 5 MiB.
const PART: u64 = 8 << 20;
/// Stores take 10,000.
const MOST_PARTS: u64 = 9_000;

/// What was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub bytes: u64,
    pub sha256: String,
}

impl Store {
    /// Returns once the bucket has said that it holds the file, and proved it part by part; `taken` hears of each.
    pub async fn put_file(
        &self,
        name: &str,
        kind: Kind,
        path: &Path,
        taken: &(dyn Fn() + Sync),
    ) -> Result<Sent, Failure> {
        let mut source = Source::open(path)?;
        if source.size <= PART {
            let content = source.next(PART)?;
            self.put(name, kind, content.clone(), &names::hex(&Md5::digest(&content))).await?;
            return Ok(source.sent());
        }
        let key = self.key(name)?;
        let PutOptions { attributes, tags, .. } = self.options(kind);
        let options = PutMultipartOptions { attributes, tags, ..PutMultipartOptions::default() };
        let id = self.ask(0, self.bucket.create_multipart_opts(&key, options)).await?;
        let outcome = self.put_parts(&key, &id, &mut source, taken).await;
        if outcome.is_err() {
            // A store that does not answer keeps the parts, until a rule of its own removes them.
            let _ = self.ask(0, self.bucket.abort_multipart(&key, &id)).await;
        }
        outcome.map(|()| source.sent())
    }

    async fn put_parts(
        &self,
        key: &Key,
        id: &MultipartId,
        source: &mut Source<'_>,
        taken: &(dyn Fn() + Sync),
    ) -> Result<(), Failure> {
        let size = part_size(source.size);
        let mut parts: Vec<PartId> = Vec::new();
        let mut digests = Md5::new();
        loop {
            let content = source.next(size)?;
            if content.is_empty() {
                break;
            }
            digests.update(Md5::digest(&content));
            let bytes = content.len() as u64;
            parts.push(self.ask(bytes, self.bucket.put_part(key, id, parts.len(), content.into())).await?);
            taken();
        }
        let expected = format!("{}-{}", names::hex(&digests.finalize()), parts.len());
        let answer = self.ask(source.size, self.bucket.complete_multipart(key, id, parts)).await?;
        match answer.e_tag.as_deref().map(|tag| tag.trim_matches('"')) {
            Some(tag) if is_of_parts(tag) && self.tag_is_md5() && !tag.eq_ignore_ascii_case(&expected) => {
                Err(Failure::new(Cause::Unverified, format!("the bucket's ETag is {tag}, the file's is {expected}")))
            }
            // Each part was proved by its own answer.
            _ => Ok(()),
        }
    }

    async fn ask<T>(
        &self,
        bytes: u64,
        request: impl std::future::Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        in_time(bytes, async { request.await.map_err(|error| Failure::from_error(&error)) }).await
    }
}

/// A file that is read once, from its beginning to its end.
struct Source<'a> {
    path: &'a Path,
    file: File,
    size: u64,
    sha256: Sha256,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, file, size, sha256: Sha256::new() })
    }

    /// The next bytes, at most `most`; none at the end.
    fn next(&mut self, most: u64) -> Result<Bytes, Failure> {
        let mut content = Vec::new();
        (&self.file).take(most).read_to_end(&mut content).map_err(|error| unreadable(self.path, &error))?;
        self.sha256.update(&content);
        Ok(content.into())
    }

    fn sent(self) -> Sent {
        Sent { bytes: self.size, sha256: names::hex(&self.sha256.finalize()) }
    }
}

fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MOST_PARTS))
}

/// Whether the tag is a digest of parts' digests, as Amazon's is.
fn is_of_parts(tag: &str) -> bool {
    let parts = tag.split_once('-');
    parts.is_some_and(|(digest, count)| {
        digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) && count.parse::<u32>().is_ok()
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Cause::LocalFile, format!("{}: {error}", path.display()))
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

    #[test]
    fn only_a_digest_of_parts_is_compared() {
        assert!(is_of_parts("0123456789abcdef0123456789ABCDEF-12"));
        for other in ["0123456789abcdef0123456789abcdef", "0123-1", "0123456789abcdef0123456789abcdeg-1", "x-"] {
            assert!(!is_of_parts(other), "{other}");
        }
    }
}
