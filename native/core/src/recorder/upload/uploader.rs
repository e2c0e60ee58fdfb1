// SPDX-License-Identifier: Apache-2.0
//! Brings a recording's files into the bucket: slices as they are closed, and the playlist that lists them. What is
//! verified there is removed from the disk. It tries for ever; what the bucket says is told once for each cause.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::catalog::ledger::Ledger;
use crate::catalog::manifest::{self, PlaylistFile};
use crate::catalog::playlist::{self, Growing};
use crate::catalog::record::{Begun, Record};
use crate::catalog::CatalogError;
use crate::config::BucketLocation;
use crate::error::{Code, Error};
use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::recording_log;
use crate::recorder::upload::backup_restore::BackupRestore;
use crate::recorder::upload::backup_uploader::{BackupStore, BackupUploader, Signals};
use crate::recorder::upload::error::{RecordingError, UploadError};
use crate::recorder::upload::mp4_upload;
use crate::recorder::upload::playlist_schedule::PlaylistSchedule;
use crate::recorder::upload::queue::{self, CompleteSlice};
use crate::recorder::upload::refusals::Refusals;
use crate::recorder::upload::relocation::{moved, RelocateRequest};
use crate::recorder::upload::retry::RetryState;
use crate::recorder::upload::slice_puts::SlicePuts;
use crate::recorder::upload::slice_store::SliceStore;
use crate::recorder::upload::text_put::put_or_keep;
use crate::storage::credentials::Credentials;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::{self, ObjectKind, Proof, Store};
use crate::storage::target::Target;

/// A playlist that is larger lists more than enough.
const MOST_LOOKED_AT: u64 = 64 << 20;

pub struct Uploader {
    pub slice_store: SliceStore,
    pub target: Target,
    pub credentials: Credentials,
    pub backup: Option<BackupStore>,
    pub inbox: UploaderInbox,
}

/// What an uploader is told.
pub struct UploaderInbox {
    /// That there is something to upload.
    pub wake: watch::Receiver<()>,
    pub moves: UnboundedReceiver<RelocateRequest>,
    /// Whether room on the work volume gets scarce.
    pub tight: watch::Receiver<bool>,
}

impl Uploader {
    /// Returns once everything is in the bucket, or the catalog cannot be written any more.
    pub async fn run(self) {
        let UploaderInbox { wake, moves, tight } = self.inbox;
        let (failing, outage) = watch::channel(None);
        let backup_uploader = self.backup.clone().map(|backup| {
            BackupUploader::new(backup, self.slice_store.clone(), Signals { wake: wake.clone(), outage, tight })
        });
        let backup_uploader = async {
            match backup_uploader {
                Some(backup_uploader) => backup_uploader.run().await,
                None => std::future::pending().await,
            }
        };
        let bucket = UploadLoop {
            slice_store: self.slice_store,
            target: self.target,
            credentials: self.credentials,
            wake,
            backup_restore: BackupRestore::new(self.backup),
            failing,
            store: None,
            tried: false,
            putting: None,
            refusals: Refusals::default(),
            health: ReportedHealth::Untried,
            list: None,
            seen: 0,
            released: 0,
            listed: 0,
            pace: PlaylistSchedule::default(),
            media: 0,
            newest: Instant::now(),
            retry: RetryState::default(),
            put_once: HashSet::new(),
            unproved_logged: false,
        };
        tokio::select! {
            () = bucket.run(moves) => {}
            () = backup_uploader => {}
        }
    }
}

struct UploadLoop {
    slice_store: SliceStore,
    target: Target,
    credentials: Credentials,
    wake: watch::Receiver<()>,
    backup_restore: BackupRestore,
    /// Since when the bucket has been failing.
    failing: watch::Sender<Option<Instant>>,
    store: Option<Arc<dyn Store>>,
    /// Whether the bucket needs no trial any more.
    tried: bool,
    /// The kind of file that is being put.
    putting: Option<ObjectKind>,
    refusals: Refusals,
    health: ReportedHealth,
    /// The live playlist, with all that it may list.
    list: Option<Growing>,
    /// How many slices of any kind were looked at for it.
    seen: usize,
    /// How many slices were let go.
    released: usize,
    /// How many slices the playlist in the bucket lists.
    listed: usize,
    pace: PlaylistSchedule,
    /// Bytes of slices that were put.
    media: u64,
    /// When the last slice was put.
    newest: Instant,
    retry: RetryState,
    /// What this process has put of what is put once.
    put_once: HashSet<String>,
    unproved_logged: bool,
}

/// What was told of the bucket last.
#[derive(PartialEq, Eq)]
enum ReportedHealth {
    Untried,
    Answers,
    Fails(StoreCause),
}

impl UploadLoop {
    async fn run(mut self, mut moves: UnboundedReceiver<RelocateRequest>) {
        loop {
            // What is under way is left for a move: nothing of it counts before it is in the catalog.
            let outcome = tokio::select! {
                biased;
                Some(asked) = moves.recv() => self.relocate(&asked).map(|()| false),
                outcome = self.step() => outcome,
            };
            match outcome {
                Ok(false) => {}
                Ok(true) => return self.report_concluded(),
                Err(error) => return self.slice_store.tell(UploadEvent::Broken(error)),
            }
        }
    }

    /// Puts what there is and waits for more, or, after a failure, for a while. True once everything is in the bucket.
    async fn step(&mut self) -> Result<bool, RecordingError> {
        self.wake.mark_unchanged();
        let began = Instant::now();
        match self.round().await {
            Ok(true) => return Ok(true),
            Ok(false) => self.rest().await,
            Err(UploadError::Recording(error)) => return Err(error),
            Err(UploadError::Store(failure)) => {
                self.failed(&failure, began);
                let pause = self.retry.pause(failure.retry_after);
                recording_log::retry(self.target.noun(), &failure, pause);
                tokio::time::sleep(pause).await;
            }
        }
        Ok(false)
    }

    /// It is news where no file of any kind was refused for this cause already; a file that is taken ends what its kind
    /// was refused for.
    fn failed(&mut self, failure: &StoreError, began: Instant) {
        self.failing.send_if_modified(|since| since.replace(since.unwrap_or(began)).is_none());
        let is_news = self.refusals.note(self.putting, failure);
        self.tell_health();
        if is_news {
            let code = if self.store.is_some() { Code::UploaderFailed } else { Code::UploaderInit };
            self.slice_store.tell(UploadEvent::Failed(Error::new(code, failure.sentence(&self.target))));
        }
        if failure.lasts_while_open() {
            self.store = None;
        }
    }

    fn relocate(&mut self, asked: &RelocateRequest) -> Result<(), RecordingError> {
        let moved = self.move_to(&asked.location);
        // Who asked may have gone.
        let _ = asked.answer.send(moved.clone().unwrap_or_else(|error| Err(error.into())));
        moved.map(drop).map_err(RecordingError::from)
    }

    /// Has the files go to the other place; what is refused is an answer, and ends nothing.
    fn move_to(&mut self, location: &BucketLocation) -> Result<Result<(), Error>, CatalogError> {
        let (target, begun) = {
            let ledger = self.slice_store.catalog.ledger();
            match moved(&ledger, location) {
                Ok(target) => (target, ledger.begun().cloned()),
                Err(refused) => return Ok(Err(refused)),
            }
        };
        if let Some(begun) = begun.filter(|begun| begun.target != target) {
            self.slice_store.write(Record::Begun(Box::new(Begun { target: target.clone(), ..begun })))?;
            self.target = target;
            (self.store, self.tried, self.retry) = (None, false, RetryState::default());
            (self.refusals, self.health) = (Refusals::default(), ReportedHealth::Untried);
            self.slice_store.tell(UploadEvent::Moved);
        }
        Ok(Ok(()))
    }

    /// Until there may be something to do.
    async fn rest(&mut self) {
        self.backup_restore.tell_withheld(&self.slice_store);
        tokio::select! {
            woken = self.wake.changed() => {
                if woken.is_err() {
                    // Nothing is written any more; what is away may still come home.
                    self.backup_restore.again().await;
                }
            }
            () = self.backup_restore.again() => {}
            () = tokio::time::sleep(PlaylistSchedule::interval(self.newest.elapsed())), if self.is_behind() => {}
        }
    }

    /// Whether the playlist in the bucket lacks slices that it may list.
    fn is_behind(&self) -> bool {
        self.list.as_ref().is_some_and(|list| list.count > self.listed)
    }

    /// Puts what there is to put. True once everything is in the bucket.
    async fn round(&mut self) -> Result<bool, UploadError> {
        if self.slice_store.catalog.ledger().is_concluded() {
            return Ok(true);
        }
        self.putting = None;
        let store = self.store()?;
        self.try_first(store.as_ref()).await?;
        loop {
            let slices = self.slices();
            if slices.is_empty() {
                break;
            }
            self.put_slices(&store, slices).await?;
            self.put_playlist(store.as_ref()).await?;
        }
        // What an earlier process delivered may not be listed yet.
        self.put_playlist(store.as_ref()).await?;
        while self.slice_store.catalog.ledger().is_delivered() {
            if self.conclude(store.as_ref()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn store(&mut self) -> Result<Arc<dyn Store>, UploadError> {
        if let Some(store) = &self.store {
            return Ok(Arc::clone(store));
        }
        let store = store::open(&self.target, &self.credentials)?;
        Ok(Arc::clone(self.store.insert(store)))
    }

    /// Puts the playlist before there is anything to list, so that what is wrong with the bucket is told before the
    /// first slice is there. A key that may only put objects can do that, and it leaves nothing that does not belong. Where
    /// nothing is put twice, the playlist waits for its end, and the trial leaves nothing at all.
    async fn try_first(&mut self, store: &dyn Store) -> Result<(), UploadError> {
        if self.tried {
            return Ok(());
        }
        self.putting = Some(ObjectKind::LivePlaylist);
        self.leave_others(store).await?;
        let trial = {
            let ledger = self.slice_store.catalog.ledger();
            let begun = ledger.begun().filter(|_| is_untouched(&ledger) && !ledger.is_stopped());
            let text = |begun: &Begun| playlist::playlist(std::iter::empty(), begun.slice_seconds, false);
            let tried = begun.map(|begun| (begun.stem.clone(), text(begun)));
            ledger.playlist_name().zip(tried)
        };
        if let Some((name, (stem, text))) = trial {
            self.putting = Some(ObjectKind::LivePlaylist);
            if self.target.is_write_once() {
                store.try_out(&names::trial(&stem)).await?;
            } else {
                store.put(&name, ObjectKind::LivePlaylist, Bytes::from(text)).await?;
            }
            self.answered();
        }
        self.tried = true;
        Ok(())
    }

    /// Where the bucket has a playlist of another recording under the usual name, this one's files get names of their own:
    /// to put its playlist there would leave the other's slices in none. A key that may not read cannot know.
    async fn leave_others(&self, store: &dyn Store) -> Result<(), UploadError> {
        let stem = {
            let ledger = self.slice_store.catalog.ledger();
            let is_open = is_untouched(&ledger) && !ledger.is_named_apart();
            ledger.begun().filter(|_| is_open).map(|begun| begun.stem.clone())
        };
        let Some(stem) = stem else { return Ok(()) };
        let usual = names::playlist(&stem);
        match store.get(&usual, MOST_LOOKED_AT).await {
            Ok(text) if self.is_own(&text) => return Ok(()),
            Ok(_) => {}
            Err(failure) if is_archived(&failure.cause) => {}
            Err(failure) if is_unknown(&failure.cause) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        }
        let playlist = names::playlist(&names::stem_of_own(&stem, chrono::Utc::now().timestamp_millis()));
        tracing::warn!(
            file = usual,
            playlist,
            "another recording's playlist has this name: it stays as it is, and this recording's has a name of its own"
        );
        Ok(self.slice_store.write(Record::PlaylistRestored { playlist })?)
    }

    /// Whether the playlist lists nothing, as after a trial, or what this recording has recorded: an earlier process put it, of
    /// which the journal knows nothing, as when a work volume is put back.
    fn is_own(&self, playlist: &[u8]) -> bool {
        let ledger = self.slice_store.catalog.ledger();
        let own: HashSet<&[u8]> = ledger.slices().iter().map(|slice| slice.file.as_bytes()).collect();
        playlist::listed(playlist).next().is_none() || playlist::listed(playlist).any(|file| own.contains(file))
    }

    /// The oldest slices that are not in the bucket: a single one while it fails, to see whether it still does.
    fn slices(&self) -> Vec<CompleteSlice> {
        let most = if self.retry.is_clear() { queue::MOST_AT_ONCE } else { 1 };
        queue::for_bucket(&self.slice_store.catalog.ledger(), |file| self.backup_restore.gives(file), most)
    }

    async fn put_slices(&mut self, store: &Arc<dyn Store>, slices: Vec<CompleteSlice>) -> Result<(), UploadError> {
        self.putting = Some(ObjectKind::Slice);
        let mut puts = SlicePuts::new(store, &self.slice_store);
        for slice in slices {
            let path = match slice.complete.backed_up {
                false => self.slice_store.locate(&slice)?,
                true if self.backup_restore.gives(&slice.file) => {
                    self.backup_restore.fetch(&slice, &self.slice_store).await
                }
                true => None,
            };
            if let Some(path) = path {
                puts.add(slice, path);
            }
        }
        let outcome = self.deliver_all(&mut puts).await;
        for (slice, failure) in puts.take_spoilt() {
            self.backup_restore.fetch_again(&slice, failure, &self.slice_store);
        }
        outcome
    }

    async fn deliver_all(&mut self, puts: &mut SlicePuts) -> Result<(), UploadError> {
        while let Some((slice, put)) = puts.next().await? {
            recording_log::stored(self.target.noun(), &slice.file);
            self.deliver(&slice, put.proof)?;
            self.answered();
        }
        Ok(())
    }

    fn deliver(&mut self, slice: &CompleteSlice, proof: Proof) -> Result<(), UploadError> {
        let unproved = proof == Proof::Word;
        if unproved && !std::mem::replace(&mut self.unproved_logged, true) {
            let (location, missing) = (self.target.location(), self.target.right_to_read());
            tracing::warn!(place = %location, "the store's answers prove nothing of what it holds, and reading is denied: files are taken \
                for delivered on its word; it takes {missing} to prove more");
        }
        let set_aside = self.slice_store.catalog.ledger().is_set_aside(&slice.file);
        self.slice_store.write(Record::Delivered { file: slice.file.clone(), unproved })?;
        self.media += slice.complete.bytes;
        self.newest = Instant::now();
        self.backup_restore.forget(&slice.file, &self.slice_store)?;
        // No playlist lists it, so nothing else lets it go.
        if set_aside {
            self.slice_store.remove(&slice.file)?;
        }
        Ok(())
    }

    /// Puts the live playlist if it has grown and is due, and removes from the disk what is delivered.
    async fn put_playlist(&mut self, store: &dyn Store) -> Result<(), UploadError> {
        self.putting = Some(ObjectKind::LivePlaylist);
        if self.target.is_write_once() {
            return self.release();
        }
        let name = self.grow();
        self.release()?;
        let Some(list) = self.list.as_ref().filter(|_| self.is_behind()) else { return Ok(()) };
        let (count, bytes) = (list.count, list.text().len() as u64);
        let Some(name) = name else {
            self.listed = count;
            return Ok(());
        };
        if self.pace.is_due(bytes, self.media, self.newest.elapsed()) {
            let text = list.text().to_owned();
            self.put_text(store, &name, &name, ObjectKind::LivePlaylist, &text).await?;
            self.pace.put(bytes);
            self.listed = count;
        }
        Ok(())
    }

    /// Adds to the playlist what it may list by now. Its name, if it may be put.
    fn grow(&mut self) -> Option<String> {
        let ledger = self.slice_store.catalog.ledger();
        let begun = ledger.begun()?;
        let list = self.list.get_or_insert_with(|| Growing::new(begun.slice_seconds));
        let (new, seen) = ledger.unbroken_since(self.seen);
        new.for_each(|(slice, complete)| list.add(slice, complete));
        self.seen = seen;
        // Once the recording was told to be backed up, nothing is written under its first name.
        ledger.playlist_name().filter(|_| !ledger.is_concluded_in_backup())
    }

    fn release(&mut self) -> Result<(), UploadError> {
        let (files, seen): (Vec<String>, usize) = {
            let ledger = self.slice_store.catalog.ledger();
            let (new, seen) = ledger.unbroken_since(self.released);
            (new.map(|(slice, _)| slice.file.clone()).collect(), seen)
        };
        files.iter().try_for_each(|file| self.slice_store.let_go(file))?;
        self.released = seen;
        Ok(())
    }

    /// Puts the final playlist and the manifest; every slice is in the bucket. False where it has to be done again, as
    /// meanwhile the recording was told to be backed up.
    async fn conclude(&mut self, store: &dyn Store) -> Result<bool, UploadError> {
        let Some(name) = self.name_playlist()? else { return Ok(true) };
        let (stem, file, text) = {
            let ledger = self.slice_store.catalog.ledger();
            let Some(begun) = ledger.begun() else { return Ok(true) };
            let file = format!("{}{}", begun.file_prefix, manifest::FILE);
            (
                ledger.list_stem().unwrap_or(&begun.stem).to_owned(),
                file,
                playlist::playlist(ledger.unbroken(), begun.slice_seconds, true),
            )
        };
        self.put_text(store, &name, &name, ObjectKind::Playlist, &text).await?;
        self.putting = Some(ObjectKind::Mp4);
        mp4_upload::deliver(&self.slice_store, store).await?;
        let sha256 = names::hex(&Sha256::digest(&text));
        let list = PlaylistFile { name: &name, size: text.len() as u64, sha256: &sha256, in_backup: false };
        let manifest = manifest::manifest(&self.slice_store.catalog.ledger(), &list);
        if let Some(manifest) = manifest {
            self.put_text(store, &names::manifest(&stem), &file, ObjectKind::Manifest, &manifest).await?;
        }
        let named_anew = is_to_be_named_anew(&self.slice_store.catalog.ledger());
        if !named_anew {
            self.slice_store.write(Record::Concluded)?;
            // What could not be put and was given up is refused no longer.
            self.refusals = Refusals::default();
            self.tell_health();
        }
        Ok(!named_anew)
    }

    /// The final playlist's name: one of its own, where the recording was told to be backed up.
    fn name_playlist(&self) -> Result<Option<String>, CatalogError> {
        let stem = {
            let ledger = self.slice_store.catalog.ledger();
            let Some(begun) = ledger.begun() else { return Ok(None) };
            is_to_be_named_anew(&ledger).then(|| begun.stem.clone())
        };
        if let Some(stem) = stem {
            let playlist = names::late_playlist(&stem, chrono::Utc::now().timestamp_millis(), 0);
            self.slice_store.write(Record::PlaylistRestored { playlist })?;
        }
        Ok(self.slice_store.catalog.ledger().playlist_name())
    }

    /// Puts the text into the bucket, and keeps a copy in the recording's directory.
    async fn put_text(
        &mut self,
        store: &dyn Store,
        key: &str,
        file: &str,
        kind: ObjectKind,
        text: &str,
    ) -> Result<(), UploadError> {
        self.putting = Some(kind);
        if !self.put_once.contains(key) {
            put_or_keep(store, key, kind, text).await?;
            tracing::debug!(store = self.target.noun(), file = key, "stored");
            self.answered();
        }
        if self.target.is_write_once() {
            self.put_once.insert(key.to_owned());
        }
        // A volume without room keeps nothing out of the bucket.
        if let Err(failure) = self.slice_store.write_text(file, text) {
            tracing::warn!(file, detail = %failure, "this file is stored, and not kept on the work volume");
        }
        Ok(())
    }

    /// The bucket took what was being put. Where it takes slices there is no outage, whatever else it refuses.
    fn answered(&mut self) {
        self.slice_store.tell(UploadEvent::Answered);
        self.refusals.end(self.putting);
        if self.putting == Some(ObjectKind::Slice) || self.refusals.newest().is_none() {
            self.failing.send_if_modified(|since| since.take().is_some());
            self.retry.recover();
        }
        self.tell_health();
    }

    /// Tells what the bucket does, if that is something else than was told last.
    fn tell_health(&mut self) {
        let newest = self.refusals.newest();
        let health = newest.map_or(ReportedHealth::Answers, |failure| ReportedHealth::Fails(failure.cause.clone()));
        if self.health == health {
            return;
        }
        let event = newest.map_or(UploadEvent::BucketAnswers, |failure| UploadEvent::BucketFails {
            cause: failure.cause.word(),
            fact: failure.fact(&self.target),
        });
        self.health = health;
        self.slice_store.tell(event);
    }

    fn report_concluded(&self) {
        let playlist = self.slice_store.catalog.ledger().playlist_name().unwrap_or_default();
        self.slice_store.tell(UploadEvent::Concluded { playlist });
    }
}

/// Whether nothing is known of a playlist by what the store answered, or that there is none.
fn is_unknown(cause: &StoreCause) -> bool {
    matches!(cause, StoreCause::FileGone | StoreCause::AccessDenied | StoreCause::Refusal(_))
}

/// Whether the store has the file, and does not give it: so Amazon and Azure answer of what is archived.
fn is_archived(cause: &StoreCause) -> bool {
    matches!(cause, StoreCause::Refusal(code) if matches!(code.as_str(), "InvalidObjectState" | "BlobArchived"))
}

/// Whether the recording was told to be backed up, so that its playlist in the bucket needs a name of its own.
fn is_to_be_named_anew(ledger: &Ledger) -> bool {
    ledger.is_concluded_in_backup() && ledger.late_playlists().is_empty()
}

/// Whether the recording's playlist was never put with anything in it.
fn is_untouched(ledger: &Ledger) -> bool {
    !ledger.has_reached_bucket() && !ledger.is_concluded_in_backup()
}

#[cfg(test)]
#[path = "uploader_tests.rs"]
mod tests;
