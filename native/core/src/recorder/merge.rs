// SPDX-License-Identifier: Apache-2.0
//! `cr_merge`: reads what the store has of each part of a recording, and puts a playlist and a manifest over all of them
//! there, and where it is asked for one file of all their slices. The same parts make the same bytes, so that whoever does
//! it again changes nothing. Where nothing is put twice, other parts have another name.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::broken_pipe;
use crate::catalog::merge::{merge as merged, MergedMp4, MergedPlaylist, ReadPart, WholeRecording};
use crate::causes;
use crate::config::{Document, OutputFormat, PartFiles};
use crate::error::{Code, Error};
use crate::log::Log;
use crate::names;
use crate::recorder::merged_mp4::Mp4Maker;
use crate::recorder::unlisted;
use crate::recorder::upload::text_put::put_or_keep;
use crate::recorder::volume::VolumeLimits;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::read_back;
use crate::storage::store::{self, ObjectKind, Store};
use crate::storage::target::Target;
use crate::storage::vendor::Vendor;

/// So much is read of all parts together, and kept in memory.
const MOST_BYTES: u64 = 64 << 20;

const INVALID: &str = "InvalidDocument";
const NOTHING: &str = "NothingToMerge";
const UNEXPECTED: &str = "Unexpected";

/// What is in the store over all parts.
pub struct MergeOutcome {
    playlist: String,
    manifest: String,
    slices: usize,
    milliseconds: u64,
    mp4: MergedMp4,
}

/// Why nothing over all parts is there, in one word and in words.
pub struct MergeFailure {
    cause: &'static str,
    error: Error,
}

impl From<Error> for MergeFailure {
    fn from(error: Error) -> Self {
        let cause = if error.code == Code::InvalidParameter { INVALID } else { UNEXPECTED };
        Self { cause, error }
    }
}

impl MergeFailure {
    fn new(cause: &'static str, code: Code, message: impl Into<String>) -> Self {
        Self { cause, error: Error::new(code, message) }
    }
}

/// What the call answers: a code, and JSON.
#[must_use]
pub fn answer(outcome: &Result<MergeOutcome, MergeFailure>) -> (i32, String) {
    match outcome {
        Ok(done) => {
            let MergeOutcome { playlist, manifest, slices, milliseconds, mp4 } = done;
            let mut told = json!({
                "playlist": playlist, "manifest": manifest, "slices": slices, "recordedMilliseconds": milliseconds,
            });
            match mp4 {
                MergedMp4::Unasked => {}
                MergedMp4::Stored { name, .. } => told["mp4"] = name.as_str().into(),
                MergedMp4::Missing { reason, .. } => told["mp4Missing"] = reason.as_str().into(),
            }
            (0, told.to_string())
        }
        Err(MergeFailure { cause, error }) => {
            (error.code as i32, json!({"cause": cause, "message": error.message}).to_string())
        }
    }
}

/// Puts a playlist and a manifest over the parts that the document names.
pub fn merge(document: &Document) -> Result<MergeOutcome, MergeFailure> {
    // The caller's thread is the host's; a connection that is reset must not end the host.
    std::thread::scope(|scope| {
        let work = || {
            broken_pipe::block();
            merge_here(document)
        };
        scope.spawn(work).join().unwrap_or_else(|_| Err(Error::unexpected().into()))
    })
}

fn merge_here(document: &Document) -> Result<MergeOutcome, MergeFailure> {
    let (recording_id, channel) = whose(document)?;
    let log = Log::new(&document.log, recording_id);
    let _log = log.enter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Code::GeneralError, error.to_string()))?;
    let merger = Merger {
        whole: WholeRecording { recording_id, channel },
        target: target(document)?,
        credentials: credentials(document)?,
    };
    let outcome = runtime.block_on(merger.merge(document));
    match &outcome {
        Ok(done) => {
            tracing::info!("cr_merge: {} is over all {} parts", done.playlist, document.parts.len());
            if let MergedMp4::Missing { reason, .. } = &done.mp4 {
                tracing::warn!("cr_merge: no MP4 was made over all parts: {reason}");
            }
        }
        Err(failure) => tracing::warn!(code = failure.error.code as i32, "cr_merge: {}", failure.error.message),
    }
    outcome
}

fn whose(document: &Document) -> Result<(&str, &str), Error> {
    let required = |field: &str| Error::new(Code::InvalidParameter, format!("{field}: is required"));
    let id = document.recording_id.as_deref().ok_or_else(|| required("recordingId"))?;
    let [channel] = document.channels.as_slice() else {
        return Err(Error::new(Code::InvalidParameter, "channels: must be the recording's one"));
    };
    let channel = channel.name.as_deref().ok_or_else(|| required("channels[0].name"))?;
    if document.parts.is_empty() {
        return Err(required("parts"));
    }
    Ok((id, channel))
}

fn target(document: &Document) -> Result<Target, Error> {
    let storage = &document.storage;
    if let Some(directory) = &storage.directory {
        return Ok(Target::directory(directory, storage));
    }
    let required = || Error::new(Code::InvalidParameter, "place: is required, unless storage is a directory");
    let location = document.location.as_ref().ok_or_else(required)?;
    // Of another vendor's bucket the place says all.
    let somewhere = Target::new(Vendor::Aws, "us-east-1", &location.bucket, storage);
    somewhere.moved(location).ok_or_else(required)
}

fn credentials(document: &Document) -> Result<Credentials, Error> {
    let storage = &document.storage;
    Credentials::of_document(storage.credential_files.as_ref(), storage).ok_or_else(|| {
        Error::new(Code::InvalidParameter, "storage.credentialFiles: is required, unless there is storage.identity")
    })
}

struct Merger<'a> {
    whole: WholeRecording<'a>,
    target: Target,
    credentials: Credentials,
}

impl Merger<'_> {
    async fn merge(&self, document: &Document) -> Result<MergeOutcome, MergeFailure> {
        let opened = store::open(&self.target, &self.credentials);
        let store = opened.map_err(|failure| Self::failed("", &failure, &failure.sentence(&self.target)))?;
        let mut left = MOST_BYTES;
        let mut read = Vec::with_capacity(document.parts.len());
        for part in &document.parts {
            let stem = self.stem(&part.file_prefix)?;
            let mut part_read = self.read(&store, part, &stem, &mut left).await?;
            let found = unlisted::reconcile(&mut part_read, &stem, store.as_ref()).await;
            found.map_err(|failure| Self::failed("", &failure, &failure.sentence(&self.target)))?;
            read.push(part_read);
        }
        let first = self.stem("")?;
        let write_once = self.target.is_write_once();
        let stem = |list: &str| {
            if write_once {
                names::merged_once(&first, &names::hex(&Sha256::digest(list)))
            } else {
                names::merged(&first)
            }
        };
        let nothing = || {
            MergeFailure::new(NOTHING, Code::NoRecordedData, "no part has a slice in the store that its playlist lists")
        };
        let list = merged(&read, stem).ok_or_else(nothing)?;
        let (playlist, manifest) = (names::playlist(&list.stem), names::manifest(&list.stem));
        let kind = if write_once { ObjectKind::Playlist } else { ObjectKind::LivePlaylist };
        // First, so that an MP4 that takes long, or for which there is no room, holds up nothing.
        self.put(&store, &playlist, kind, list.text.clone()).await?;
        let mp4 = self.mp4(document, &store, &list.stem, &read).await;
        let mp4 = self.or_earlier(mp4, &store, &list, &mut left).await;
        let about = list.manifest(&self.whole, &read, lasting(&mp4, write_once)).ok_or_else(Error::unexpected)?;
        self.put(&store, &manifest, ObjectKind::Manifest, about).await?;
        let MergedPlaylist { slices, microseconds, .. } = list;
        Ok(MergeOutcome { playlist, manifest, slices, milliseconds: microseconds / 1000, mp4 })
    }

    async fn mp4(&self, document: &Document, store: &Arc<dyn Store>, stem: &str, parts: &[ReadPart]) -> MergedMp4 {
        if !document.outputs.contains(&OutputFormat::Mp4) {
            return MergedMp4::Unasked;
        }
        // Where one is there that was made before, it has more of the recording than a new one.
        if let Some(gone) = parts.iter().find_map(ReadPart::first_gone) {
            return MergedMp4::Missing { name: names::mp4(stem), reason: read_back::gone(gone) };
        }
        let maker = Mp4Maker {
            store: store.as_ref(),
            target: &self.target,
            work: document.work_directory(),
            limits: VolumeLimits::of_document(document),
            directory: names::merged(self.whole.recording_id),
        };
        let slices: Vec<_> = parts.iter().flat_map(ReadPart::slices).collect();
        maker.make(names::mp4(stem), &slices).await
    }

    /// What there is where none was made: one that an earlier merge of the very same slices put stays the one over all
    /// parts, and any other that has its name is told for what it is.
    async fn or_earlier(
        &self,
        made: MergedMp4,
        store: &Arc<dyn Store>,
        list: &MergedPlaylist,
        left: &mut u64,
    ) -> MergedMp4 {
        if matches!(made, MergedMp4::Stored { .. }) || !is_there(store, &names::mp4(&list.stem)).await {
            return made;
        }
        let manifest = self.get(store, &names::manifest(&list.stem), left).await.ok().flatten();
        match (manifest.and_then(|text| list.mp4_of(&text)), made) {
            (Some(earlier), _) => earlier,
            (None, MergedMp4::Missing { name, reason }) if !self.target.is_write_once() => {
                let reason = format!("{reason}; {name} was made before, and may have other slices than the playlist");
                MergedMp4::Missing { name, reason }
            }
            (None, made) => made,
        }
    }

    /// A part as the store has it. A manifest that is not there, or that the key may not ask for, is none: a store that
    /// does not let its objects be listed says of one that is missing that it must not be read.
    async fn read(
        &self,
        store: &Arc<dyn Store>,
        part: &PartFiles,
        stem: &str,
        left: &mut u64,
    ) -> Result<ReadPart, MergeFailure> {
        let (usual, manifest) = (names::playlist(stem), names::manifest(stem));
        let name = part.playlist.as_ref().unwrap_or(&usual);
        if !is_playlist(name, stem) {
            let message = format!("parts: {name:?} is no playlist of the part whose files begin with {stem}");
            return Err(Error::new(Code::InvalidParameter, message).into());
        }
        let text = self.get(store, name, left).await?.ok_or_else(|| self.absent(name))?;
        let text = String::from_utf8(text).map_err(|_| self.unreadable(name, "is no text"))?;
        let read = ReadPart::new(&part.file_prefix, stem, name, &text).map_err(|why| self.unreadable(name, &why))?;
        // Of a playlist with a name of its own the manifest has one, too, unless it came home from a backup store.
        let own =
            names::stem_of(name).map(names::manifest).filter(|_| *name != usual).unwrap_or_else(|| manifest.clone());
        let (manifest, text) = match self.get(store, &own, left).await {
            Ok(None) if own != manifest => {
                let text = self.get(store, &manifest, left).await;
                (manifest, text.map(|text| text.filter(|text| names_file(text, name))))
            }
            text => (own, text),
        };
        match text {
            Ok(None) => Ok(read),
            Err(failure) if failure.cause == causes::NO_READ_RIGHT => Ok(read),
            Ok(Some(text)) => {
                read.with_manifest(&self.whole, stem, &manifest, &text).map_err(|why| self.unreadable(&manifest, &why))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The file's content; None where it is not there.
    async fn get(&self, store: &Arc<dyn Store>, name: &str, left: &mut u64) -> Result<Option<Vec<u8>>, MergeFailure> {
        match store.get(name, *left).await {
            Ok(content) => {
                *left -= content.len() as u64;
                Ok(Some(content))
            }
            Err(failure) if failure.cause == StoreCause::FileGone => Ok(None),
            Err(failure) if failure.cause == StoreCause::AccessDenied => {
                let (store, right) = (self.target.store(), self.target.right_to_read());
                let words = format!("{store} does not let it be read, and one playlist over all parts takes {right}");
                Err(MergeFailure::new(
                    causes::NO_READ_RIGHT,
                    Code::UploaderFailed,
                    format!("{name}: {words} ({})", failure.detail),
                ))
            }
            Err(failure) => Err(Self::failed(name, &failure, &failure.sentence(&self.target))),
        }
    }

    async fn put(
        &self,
        store: &Arc<dyn Store>,
        name: &str,
        kind: ObjectKind,
        text: String,
    ) -> Result<(), MergeFailure> {
        let put = put_or_keep(store.as_ref(), name, kind, &text).await;
        put.map_err(|failure| Self::failed(name, &failure, &failure.sentence(&self.target)))
    }

    fn stem(&self, prefix: &str) -> Result<String, Error> {
        let too_long = || Error::new(Code::InvalidParameter, "channels[0].name: makes files' names too long");
        names::stem(prefix, self.whole.recording_id, self.whole.channel).ok_or_else(too_long)
    }

    fn failed(name: &str, failure: &StoreError, words: &str) -> MergeFailure {
        let message = if name.is_empty() { words.to_owned() } else { format!("{name}: {words}") };
        MergeFailure::new(failure.cause.word(), Code::UploaderFailed, message)
    }

    fn absent(&self, name: &str) -> MergeFailure {
        let words = format!("{name}: {} does not hold this playlist of a part", self.target.store());
        MergeFailure::new(StoreCause::FileGone.word(), Code::UploaderFailed, words)
    }

    fn unreadable(&self, name: &str, why: &str) -> MergeFailure {
        let message = format!("{name} in {} {why}", self.target.store());
        MergeFailure::new(causes::PART_UNREADABLE, Code::UploaderFailed, message)
    }
}

/// What the manifest says of the MP4: where nothing is put twice, not that there is none, as a later merge may make it.
fn lasting(mp4: &MergedMp4, write_once: bool) -> &MergedMp4 {
    match mp4 {
        MergedMp4::Missing { .. } if write_once => &MergedMp4::Unasked,
        mp4 => mp4,
    }
}

/// Whether the store has something under this name and says so: as it is too large then for who takes nothing of it.
async fn is_there(store: &Arc<dyn Store>, name: &str) -> bool {
    match store.get(name, 0).await {
        Ok(_) => true,
        Err(failure) => failure.cause == StoreCause::Other,
    }
}

/// Whether the manifest is about this playlist; that of another recording may have the usual name.
fn names_file(manifest: &[u8], playlist: &str) -> bool {
    String::from_utf8_lossy(manifest).contains(&format!("\"{playlist}\""))
}

/// Whether a part's playlist may have this name: the usual one, or that of one that came home later.
fn is_playlist(name: &str, stem: &str) -> bool {
    let inner = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(".m3u8"));
    inner.is_some_and(|inner| inner.is_empty() || inner.starts_with('_'))
        && !name.contains('/')
        && !name.starts_with(&names::merged(stem))
}
