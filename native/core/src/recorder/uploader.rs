// SPDX-License-Identifier: Apache-2.0
//! Brings a recording's files into the bucket: slices as they are closed, then the playlist that lists them, and only
//! then are they removed from the disk. It tries for ever; what the bucket says is told once for each kind of trouble.

use std::sync::Arc;

use bytes::Bytes;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::books::ledger::{Film, Ledger};
use crate::books::manifest::{self, PlaylistFile};
use crate::books::playlist;
use crate::books::record::Record;
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::names;
use crate::recorder::backup::{Backup, Retreat};
use crate::recorder::depot::Depot;
use crate::recorder::film;
use crate::recorder::parcel::{self, Parcel};
use crate::recorder::stock::{News, Stock, Stop};
use crate::recorder::story;
use crate::recorder::trouble::Trouble;
use crate::storage::credentials::Credentials;
use crate::storage::store::{Kind, Store};
use crate::storage::target::Target;

pub struct Uploader {
    pub stock: Stock,
    pub target: Target,
    pub credentials: Credentials,
    pub backup: Option<Backup>,
    /// Says that there is something to upload.
    pub wake: watch::Receiver<()>,
}

impl Uploader {
    /// Returns once everything is in the bucket, or the books cannot be written any more.
    pub async fn run(self) {
        let (failing, outage) = watch::channel(None);
        let retreat = self.backup.clone().map(|backup| {
            let (stock, wake) = (self.stock.clone(), self.wake.clone());
            Retreat::new(backup, stock, wake, outage)
        });
        let retreat = async {
            match retreat {
                Some(retreat) => retreat.run().await,
                None => std::future::pending().await,
            }
        };
        let bucket = Bucket {
            stock: self.stock,
            target: self.target,
            credentials: self.credentials,
            wake: self.wake,
            depot: Depot::new(self.backup),
            failing,
            store: None,
            listed: 0,
            trouble: Trouble::default(),
        };
        tokio::select! {
            () = bucket.run() => {}
            () = retreat => {}
        }
    }
}

struct Bucket {
    stock: Stock,
    target: Target,
    credentials: Credentials,
    wake: watch::Receiver<()>,
    depot: Depot,
    /// Since when the bucket has been failing.
    failing: watch::Sender<Option<Instant>>,
    store: Option<Arc<Store>>,
    /// How many slices the playlist in the bucket lists.
    listed: usize,
    trouble: Trouble,
}

impl Bucket {
    async fn run(mut self) {
        loop {
            self.wake.mark_unchanged();
            let began = Instant::now();
            match self.round().await {
                Ok(true) => return self.conclude_told(),
                Ok(false) => self.rest().await,
                Err(Stop::Books(error)) => return self.stock.tell(News::Broken(error)),
                Err(Stop::Store(failure)) => {
                    self.failing.send_if_modified(|since| since.replace(since.unwrap_or(began)).is_none());
                    if self.trouble.is_new(&failure.cause) {
                        let code = if self.store.is_some() { Code::UploaderFailed } else { Code::UploaderInit };
                        self.stock.tell(News::Failed(Error::new(code, failure.sentence(&self.target))));
                    }
                    let pause = self.trouble.pause();
                    story::retried("bucket", &failure, pause);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Until there may be something to do.
    async fn rest(&mut self) {
        tokio::select! {
            woken = self.wake.changed() => {
                if woken.is_err() {
                    // Nothing is written any more; what is away may still come home.
                    self.depot.again().await;
                }
            }
            () = self.depot.again() => {}
        }
    }

    /// Puts what there is to put. True once everything is in the bucket.
    async fn round(&mut self) -> Result<bool, Stop> {
        if self.stock.books.locked().ledger().is_concluded() {
            return Ok(true);
        }
        let store = self.store()?;
        loop {
            let parcels = self.parcels();
            if parcels.is_empty() {
                break;
            }
            self.put_slices(&store, parcels).await?;
            self.put_playlist(&store).await?;
        }
        // What an earlier process delivered may not be listed yet.
        self.put_playlist(&store).await?;
        while self.stock.books.locked().ledger().is_delivered() {
            if self.conclude(&store).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn store(&mut self) -> Result<Arc<Store>, Stop> {
        if let Some(store) = &self.store {
            return Ok(Arc::clone(store));
        }
        let store = Store::new(self.target.clone(), self.credentials.clone())?;
        Ok(Arc::clone(self.store.insert(Arc::new(store))))
    }

    /// The oldest slices that are not in the bucket: a single one while it fails, to see whether it still does.
    fn parcels(&self) -> Vec<Parcel> {
        let most = if self.trouble.is_none() { parcel::MOST_AT_ONCE } else { 1 };
        parcel::for_bucket(self.stock.books.locked().ledger(), |file| self.depot.gives(file), most)
    }

    async fn put_slices(&mut self, store: &Arc<Store>, parcels: Vec<Parcel>) -> Result<(), Stop> {
        let mut puts = JoinSet::new();
        for parcel in parcels {
            let content = match parcel.complete.backed_up {
                false => self.stock.read(&parcel)?,
                true if self.depot.gives(&parcel.file) => self.depot.fetch(&parcel, &self.stock).await,
                true => None,
            };
            let Some(content) = content else { continue };
            let store = Arc::clone(store);
            puts.spawn(async move {
                let result = store.put(&parcel.file, Kind::Slice, content, &parcel.complete.md5).await;
                (parcel.file, result)
            });
        }
        let mut first_failure = None;
        while let Some(put) = puts.join_next().await {
            match put {
                Ok((file, Ok(()))) => {
                    story::stored("bucket", &file);
                    self.stock.write(Record::Delivered { file })?;
                    self.answered();
                }
                Ok((_, Err(failure))) => first_failure = first_failure.or(Some(failure)),
                Err(error) => return Err(Error::new(Code::GeneralError, error.to_string()).into()),
            }
        }
        first_failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Puts the live playlist if it has grown, and then removes from the disk what it lists.
    async fn put_playlist(&mut self, store: &Store) -> Result<(), Stop> {
        let (name, text, files) = {
            let books = self.stock.books.locked();
            let ledger = books.ledger();
            let Some(begun) = ledger.begun() else { return Ok(()) };
            let files: Vec<String> = ledger.unbroken().map(|(slice, _)| slice.file.clone()).collect();
            let text = playlist::playlist(ledger.unbroken(), begun.slice_seconds, false);
            // Once the recording was told to be backed up, nothing is written under its first name.
            let name = (!ledger.is_concluded_in_backup()).then(|| names::playlist(&begun.stem));
            (name, text, files)
        };
        if files.len() > self.listed {
            if let Some(name) = name {
                self.put_text(store, &name, &name, Kind::Playlist, &text).await?;
            }
            for file in &files[self.listed..] {
                self.stock.let_go(file)?;
            }
            self.listed = files.len();
        }
        Ok(())
    }

    /// Puts the final playlist and the manifest; every slice is in the bucket. False where it has to be done again, as
    /// meanwhile the recording was told to be backed up.
    async fn conclude(&mut self, store: &Store) -> Result<bool, Stop> {
        let Some(name) = self.name_playlist()? else { return Ok(true) };
        let (stem, file, text) = {
            let books = self.stock.books.locked();
            let Some(begun) = books.ledger().begun() else { return Ok(true) };
            let file = format!("{}{}", begun.file_prefix, manifest::FILE);
            (begun.stem.clone(), file, playlist::playlist(books.ledger().unbroken(), begun.slice_seconds, true))
        };
        self.put_text(store, &name, &name, Kind::Playlist, &text).await?;
        film::deliver(&self.stock, store).await?;
        let sha256 = names::hex(&Sha256::digest(&text));
        let list = PlaylistFile { name: &name, size: text.len() as u64, sha256: &sha256, in_backup: false };
        let manifest = manifest::manifest(self.stock.books.locked().ledger(), &list);
        if let Some(manifest) = manifest {
            self.put_text(store, &names::manifest(&stem), &file, Kind::Manifest, &manifest).await?;
        }
        let mut books = self.stock.books.locked();
        let named_anew = books.ledger().is_concluded_in_backup() && books.ledger().late_playlists().is_empty();
        if !named_anew {
            books.write(Record::Concluded)?;
        }
        Ok(!named_anew)
    }

    /// The final playlist's name: one of its own, where the recording was told to be backed up.
    fn name_playlist(&self) -> Result<Option<String>, Error> {
        let mut books = self.stock.books.locked();
        let ledger = books.ledger();
        if ledger.is_concluded_in_backup() && ledger.late_playlists().is_empty() {
            let Some(begun) = ledger.begun() else { return Ok(None) };
            let playlist = names::late_playlist(&begun.stem, chrono::Utc::now().timestamp_millis(), 0);
            books.write(Record::ComingHome { playlist })?;
        }
        Ok(books.ledger().playlist_name())
    }

    /// Puts the text into the bucket, and keeps it in the recording's directory.
    async fn put_text(&mut self, store: &Store, key: &str, file: &str, kind: Kind, text: &str) -> Result<(), Stop> {
        self.stock.write_text(file, text)?;
        let content = Bytes::copy_from_slice(text.as_bytes());
        store.put(key, kind, content, &names::hex(&Md5::digest(text))).await?;
        tracing::debug!(store = "bucket", file = key, "stored");
        self.answered();
        Ok(())
    }

    /// The bucket took something.
    fn answered(&mut self) {
        self.stock.tell(News::Answered);
        self.failing.send_if_modified(|since| since.take().is_some());
        if self.trouble.heal() {
            self.stock.tell(News::BucketHealed);
        }
    }

    fn conclude_told(&self) {
        let playlist = self.stock.books.locked().ledger().playlist_name().unwrap_or_default();
        self.stock.tell(News::Concluded { playlist });
    }
}

/// The percentage of a recording's files that are verified in the bucket: its slices, and at the end the playlist, the
/// manifest, and the MP4 if one is made.
#[must_use]
pub fn percent(ledger: &Ledger) -> u32 {
    let slices = ledger.counts().0;
    let lists = if ledger.is_stopped() { 2 } else { 0 };
    let (more, more_verified) = match ledger.film() {
        Some(Film::Wanted) if ledger.is_stopped() => (1, 0),
        Some(Film::Delivered { .. }) => (1, 1),
        _ => (0, 0),
    };
    let verified = slices.delivered + more_verified + if ledger.is_concluded() { lists } else { 0 };
    match slices.written + more + lists {
        0 => 0,
        files => u32::try_from(verified * 100 / files).unwrap_or(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::ledger::tests::{begun, delivered, ledger, slice};

    #[test]
    fn a_film_counts_from_the_stop_on_and_not_if_it_is_given_up() {
        let wanted = Record::Begun(Box::new(crate::books::record::Begun { mp4: true, ..begun() }));
        let mut books = ledger([wanted].into_iter().chain(slice("a", 0, 15_000)).chain([delivered("a")]));
        assert_eq!(percent(&books), 100);
        books.apply(Record::Stopped { at: 15_000 });
        assert_eq!(percent(&books), 25);
        books.apply(Record::Filmed { file: "f".into(), bytes: 1, sha256: "s".into() });
        assert_eq!(percent(&books), 50);
        books.apply(Record::NotFilmed { file: "f".into(), reason: "r".into() });
        assert_eq!(percent(&books), 33);
    }

    #[test]
    fn progress_is_of_verified_files_and_whole_only_at_the_end() {
        let mut books = ledger([]);
        assert_eq!(percent(&books), 0);
        for record in slice("a", 0, 15_000).into_iter().chain(slice("b", 15_000, 15_000)) {
            books.apply(record);
        }
        books.apply(delivered("a"));
        assert_eq!(percent(&books), 50);
        books.apply(delivered("b"));
        assert_eq!(percent(&books), 100);
        books.apply(Record::Stopped { at: 30_000 });
        assert_eq!(percent(&books), 50);
        books.apply(Record::Concluded);
        assert_eq!(percent(&books), 100);
    }
}
