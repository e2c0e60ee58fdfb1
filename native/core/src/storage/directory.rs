// SPDX-License-Identifier: Apache-2.0
//! A directory as a store. A file is written under a hidden name beside its own, brought to the disk, read back, and only
//! then given its name, so that whoever looks finds it whole or not at all, and a crash of the machine takes nothing back.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{fadvise, flock, Advice, FlockOperation};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::durable;
use crate::locked::Locked;
use crate::log;
use crate::names;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::local_file::LocalFile;
use crate::storage::store::{in_time, no_more_than, read_in_time, too_large, ObjectKind, Proof, Put, Store};
use crate::storage::target::DirectoryTarget;

/// What is in memory of a file at once.
const PIECE: usize = 8 << 20;

/// The files that are being written by any attempt of this process: one that was given up may still hang in the system, and
/// must not meet the next one's.
static UNDER_WAY: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

pub struct DirectoryStore {
    /// It is not made: where nothing is mounted, files would go to a disk that nobody meant.
    root: PathBuf,
    /// Where files are, below it.
    directory: PathBuf,
}

impl DirectoryStore {
    #[must_use]
    pub fn new(target: &DirectoryTarget) -> Self {
        Self { root: target.directory.clone(), directory: target.path() }
    }

    fn begin(&self, name: &str) -> impl FnOnce() -> Result<PartialFile, StoreError> {
        let (root, path) = (self.root.clone(), self.directory.join(name));
        move || PartialFile::begin(&root, path)
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn put(&self, name: &str, _: ObjectKind, content: Bytes) -> Result<Proof, StoreError> {
        let (begin, bytes) = (self.begin(name), content.len() as u64);
        let put = blocking(move || {
            let mut partial = begin()?;
            partial.write(&content)?;
            partial.publish()
        });
        in_time(bytes, put).await.map(|_| Proof::Compared)
    }

    async fn put_file(&self, name: &str, _: ObjectKind, file: LocalFile<'_>) -> Result<Put, StoreError> {
        let bytes = file.bytes()?;
        let put = async {
            let mut partial = blocking(self.begin(name)).await?;
            loop {
                let content = file.read(partial.bytes, PIECE as u64).await?;
                if content.is_empty() {
                    break;
                }
                partial = blocking(move || partial.write(&content).map(|()| partial)).await?;
                (file.taken)();
            }
            file.check(&partial.sha256())?;
            blocking(move || partial.publish()).await
        };
        let (bytes, sha256) = in_time(bytes, put).await?;
        Ok(Put { bytes, sha256, proof: Proof::Compared })
    }

    async fn get(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        let (from, root, named) = (self.directory.join(name), self.root.clone(), name.to_owned());
        let get = blocking(move || {
            is_there(&root)?;
            let source = File::open(&from).map_err(|error| unopened(&from, &error))?;
            let mut taken = Vec::new();
            source.take(most + 1).read_to_end(&mut taken).map_err(|error| failed(&from, &error))?;
            if taken.len() as u64 > most {
                return Err(too_large(&named, most));
            }
            Ok(taken)
        });
        in_time(most, get).await
    }

    async fn get_file(&self, name: &str, bytes: Option<u64>, path: &Path) -> Result<String, StoreError> {
        let (from, to, root) = (self.directory.join(name), path.to_owned(), self.root.clone());
        let get = blocking(move || {
            is_there(&root)?;
            let unwritable =
                |error: io::Error| StoreError::new(StoreCause::LocalFile, format!("{}: {error}", to.display()));
            let mut source = File::open(&from).map_err(|error| unopened(&from, &error))?;
            let mut copy = File::create(&to).map_err(unwritable)?;
            let (mut sha256, mut came) = (Sha256::new(), 0);
            let mut piece = vec![0; PIECE];
            loop {
                let count = source.read(&mut piece).map_err(|error| failed(&from, &error))?;
                if count == 0 {
                    return Ok(names::hex(&sha256.finalize()));
                }
                came += count as u64;
                no_more_than(bytes, came)?;
                copy.write_all(&piece[..count]).map_err(unwritable)?;
                sha256.update(&piece[..count]);
            }
        });
        read_in_time(bytes, get).await
    }

    async fn list(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let (directory, root) = (self.directory.clone(), self.root.clone());
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let list = blocking(move || {
            is_there(&root)?;
            let entries = std::fs::read_dir(&directory).map_err(|error| unopened(&directory, &error))?;
            let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
            let names: io::Result<Vec<String>> = names.collect();
            let mut names = names.map_err(|error| failed(&directory, &error))?;
            names.retain(|name| name.starts_with(&prefix) && *name > after);
            names.sort_unstable();
            Ok(names)
        });
        in_time(0, list).await
    }

    async fn try_out(&self, name: &str) -> Result<(), StoreError> {
        in_time(0, blocking(self.begin(name))).await.map(drop)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.directory.join(name);
        in_time(0, blocking(move || std::fs::remove_file(&path).map_err(|error| failed(&path, &error)))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = log::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::new(StoreCause::Other, error.to_string())))
}

/// A file that does not have its name yet. Goes, unless it is published.
struct PartialFile {
    file: File,
    at: PathBuf,
    path: PathBuf,
    bytes: u64,
    sha256: Sha256,
    has_its_name: bool,
    _claim: Claim,
}

impl PartialFile {
    fn begin(root: &Path, path: PathBuf) -> Result<Self, StoreError> {
        is_there(root)?;
        let claim = Claim::take(&path)?;
        let directory = path.parent().unwrap_or(root);
        make_below(root, directory).map_err(|error| failed(directory, &error))?;
        // The same for each attempt, so that what a killed process left is written over; no longer than its own name may be.
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let at = directory.join(format!(".{}.partial", names::hex(&digest[..8])));
        let file = create_alone(&at).map_err(|error| failed(&at, &error))?;
        Ok(Self { file, at, path, bytes: 0, sha256: Sha256::new(), has_its_name: false, _claim: claim })
    }

    fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(content).map_err(|error| failed(&self.path, &error))?;
        self.bytes += content.len() as u64;
        self.sha256.update(content);
        Ok(())
    }

    /// Of what was written so far, in hexadecimal digits.
    fn sha256(&self) -> String {
        names::hex(&self.sha256.clone().finalize())
    }

    /// Its size and SHA-256, once it is durable under its name and was read back.
    fn publish(mut self) -> Result<(u64, String), StoreError> {
        let path = self.path.clone();
        let failed = |error: io::Error| failed(&path, &error);
        self.file.sync_all().map_err(failed)?;
        let (bytes, sha256) = (self.bytes, self.sha256());
        let found = self.read_back().map_err(failed)?;
        if found != (bytes, sha256.clone()) {
            let message = format!("{}: read back it is {} bytes of {bytes}, or others", self.path.display(), found.0);
            return Err(StoreError::new(StoreCause::Unverified, message));
        }
        std::fs::rename(&self.at, &self.path).map_err(failed)?;
        self.has_its_name = true;
        sync_entries(self.path.parent()).map_err(failed)?;
        Ok((bytes, sha256))
    }

    /// The size and SHA-256 of what the disk has, as far as the system can be made to ask it.
    fn read_back(&self) -> io::Result<(u64, String)> {
        let mut file = File::open(&self.at)?;
        // A file system that has no cache to drop is as well.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let mut sha256 = Sha256::new();
        let bytes = io::copy(&mut file, &mut sha256)?;
        Ok((bytes, names::hex(&sha256.finalize())))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Once it has its name, another process may have one of its own here.
        if !self.has_its_name {
            let _ = std::fs::remove_file(&self.at);
        }
    }
}

/// The empty file, as soon as no other process writes it, as two that merge the same parts would.
fn create_alone(at: &Path) -> io::Result<File> {
    loop {
        let file = File::options().write(true).create(true).truncate(false).open(at)?;
        match flock(&file, FlockOperation::LockExclusive) {
            // A file system without locks, as some of networks, is as well for one process at a time.
            Ok(()) | Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // While the lock was waited for, the file may have got its name, or gone.
        if is_at(&file, at)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let place = |about: &Metadata| (about.dev(), about.ino());
    match std::fs::metadata(path) {
        Ok(about) => Ok(place(&about) == place(&file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The right to write this file; one at a time in this process.
struct Claim(PathBuf);

impl Claim {
    fn take(path: &Path) -> Result<Self, StoreError> {
        if UNDER_WAY.locked().get_or_insert_default().insert(path.to_owned()) {
            return Ok(Self(path.to_owned()));
        }
        let message = format!("{}: an earlier attempt to write it still hangs in the system", path.display());
        Err(StoreError::new(StoreCause::Timeout, message))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(paths) = UNDER_WAY.locked().as_mut() {
            paths.remove(&self.0);
        }
    }
}

fn is_there(root: &Path) -> Result<(), StoreError> {
    let absent = |why: &str| StoreError::new(StoreCause::NoSuchDirectory, why);
    match std::fs::metadata(root) {
        Ok(about) if about.is_dir() => Ok(()),
        Ok(_) => Err(absent("it is a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(absent(&error.to_string())),
        Err(error) => Err(failed(root, &error)),
    }
}

/// Makes what is not there of the directory, and has that survive a crash, too.
fn make_below(root: &Path, directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(directory)?;
    let made = directory.ancestors().take_while(|ancestor| ancestor.starts_with(root));
    made.into_iter().try_for_each(|ancestor| sync_entries(Some(ancestor)))
}

/// A file system that cannot bring a directory's entries to the disk by themselves, as some of networks, has them there.
fn sync_entries(directory: Option<&Path>) -> io::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    match durable::sync_directory(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}

/// Why a file that is to be there cannot be read.
fn unopened(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::new(StoreCause::FileGone, format!("{}: {error}", path.display())),
        _ => failed(path, error),
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    let cause = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreCause::AccessDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreCause::QuotaExceeded,
        io::ErrorKind::TimedOut => StoreCause::Timeout,
        _ => StoreCause::Other,
    };
    StoreError::new(cause, format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
