// SPDX-License-Identifier: Apache-2.0
//! Restores slices out of the backup store, for the bucket.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::names;
use crate::recorder::machine::UploadEvent;
use crate::recorder::upload::backup_uploader::BackupStore;
use crate::recorder::upload::queue::CompleteSlice;
use crate::recorder::upload::retry::RetryState;
use crate::recorder::upload::slice_store::SliceStore;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::read_back::{read_back, WRONG_TIMES};
use crate::storage::store::Store;

/// A file that the store has lost, or whose content stays wrong, is asked for again after this time: somebody may have
/// put it back.
const GONE_PAUSE: Duration = Duration::from_secs(60);

pub struct BackupRestore {
    backup: Option<BackupStore>,
    store: Option<Arc<dyn Store>>,
    retry: RetryState,
    retry_at: Option<Instant>,
    /// Files that were not had although the store answered, and when to ask again; they hold nothing else up.
    withheld: HashMap<String, Withheld>,
    /// Slices that were fetched: what the bucket refuses need not be fetched again for each attempt.
    fetched: HashSet<String>,
}

/// What is wrong with one file.
struct Withheld {
    failure: StoreError,
    times: u32,
    retry: RetryState,
    again: Instant,
    told: bool,
}

impl Withheld {
    fn is_lasting(&self) -> bool {
        self.failure.cause == StoreCause::FileGone || self.times >= WRONG_TIMES
    }
}

impl BackupRestore {
    #[must_use]
    pub fn new(backup: Option<BackupStore>) -> Self {
        let retry = RetryState::default();
        Self { backup, store: None, retry, retry_at: None, withheld: HashMap::new(), fetched: HashSet::new() }
    }

    /// Whether it may be asked for the file now.
    #[must_use]
    pub fn gives(&self, file: &str) -> bool {
        let now = Instant::now();
        let is_over = |at: &Instant| now >= *at;
        let withheld = self.withheld.get(file);
        self.backup.is_some()
            && self.retry_at.as_ref().is_none_or(is_over)
            && withheld.is_none_or(|file| is_over(&file.again))
    }

    /// Until something may be asked for again that may not be now; never, where there is no such thing.
    pub async fn again(&mut self) {
        match self.retry_at.or(self.withheld.values().map(|file| file.again).min()) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        // Whoever waits next waits for what is still withheld.
        self.retry_at = None;
    }

    /// Where the slice's content was put on the work volume; `None` where the store does not give it now.
    pub async fn fetch(&mut self, slice: &CompleteSlice, slice_store: &SliceStore) -> Option<PathBuf> {
        let path = slice_store.directory.join(fetched(&slice.file));
        if self.fetched.contains(&slice.file) {
            return Some(path);
        }
        match self.get(slice, &path).await {
            Ok(()) => {
                self.answered(slice_store);
                self.fetched.insert(slice.file.clone());
                Some(path)
            }
            Err(failure) if is_of_one_file(&failure) => {
                self.answered(slice_store);
                self.withhold(&slice.file, failure);
                None
            }
            Err(failure) => {
                if self.retry.is_new(&failure.cause) {
                    self.tell(slice_store, &failure);
                }
                if failure.lasts_while_open() {
                    self.store = None;
                }
                self.retry_at = Some(Instant::now() + self.retry.pause(failure.retry_after));
                None
            }
        }
    }

    /// What was fetched is not on the work volume any more, or not as it was: it is fetched again.
    pub fn fetch_again(&mut self, slice: &CompleteSlice, failure: StoreError, slice_store: &SliceStore) {
        self.fetched.remove(&slice.file);
        // The next copy takes its place.
        let _ = slice_store.remove(&fetched(&slice.file));
        self.withhold(&slice.file, failure);
    }

    /// Tells which files stay withheld. To be called once nothing else can be done: whoever rescues ends with it.
    pub fn tell_withheld(&mut self, slice_store: &SliceStore) {
        let Some(backup) = &self.backup else { return };
        for file in self.withheld.values_mut().filter(|file| !file.told && file.is_lasting()) {
            file.told = true;
            slice_store.tell(UploadEvent::Failed(backup.error(&file.failure)));
        }
    }

    /// The slice is home.
    pub fn forget(&mut self, file: &str, slice_store: &SliceStore) -> Result<(), StoreError> {
        let told = self.withheld.remove(file).is_some_and(|file| file.told);
        if told && self.retry.is_clear() && !self.withheld.values().any(|file| file.told) {
            slice_store.tell(UploadEvent::BackupRecovered);
        }
        if self.fetched.remove(file) {
            slice_store.remove(&fetched(file))?;
        }
        Ok(())
    }

    fn answered(&mut self, slice_store: &SliceStore) {
        self.retry_at = None;
        if self.retry.recover() && !self.withheld.values().any(|file| file.told) {
            slice_store.tell(UploadEvent::BackupRecovered);
        }
    }

    fn withhold(&mut self, file: &str, failure: StoreError) {
        let known = self.withheld.remove(file);
        let (times, mut retry, told) =
            known.map_or((0, RetryState::default(), false), |file| (file.times, file.retry, file.told));
        let pause = retry.pause(failure.retry_after);
        let mut file_withheld = Withheld { failure, times: times + 1, retry, again: Instant::now(), told };
        file_withheld.again += if file_withheld.is_lasting() { GONE_PAUSE } else { pause };
        self.withheld.insert(file.to_owned(), file_withheld);
    }

    fn tell(&self, slice_store: &SliceStore, failure: &StoreError) {
        if let Some(backup) = &self.backup {
            slice_store.tell(UploadEvent::Failed(backup.error(failure)));
        }
    }

    async fn get(&mut self, slice: &CompleteSlice, path: &Path) -> Result<(), StoreError> {
        let Some(backup) = &self.backup else {
            return Err(StoreError::new(StoreCause::Setup, "there is no backup store"));
        };
        let store = match &mut self.store {
            Some(store) => store,
            empty => empty.insert(backup.open()?),
        };
        let got = read_back(store.as_ref(), &slice.file, slice.known(), path, 1).await;
        got.map_err(|failure| StoreError { detail: format!("{}: {}", slice.file, failure.detail), ..failure })
    }
}

/// Whether the store answered, and the next file may be as good as any.
fn is_of_one_file(failure: &StoreError) -> bool {
    matches!(failure.cause, StoreCause::FileGone | StoreCause::Unverified)
}

/// What a file is called while it is being restored: no longer than its own name may be.
fn fetched(file: &str) -> String {
    format!("fetched_{}", names::hex(&Sha256::digest(file)[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{begun, slice};
    use crate::catalog::ledger::Complete;
    use crate::catalog::record::Record;
    use crate::catalog::Catalog;
    use crate::config::Storage;
    use crate::storage::credentials::Credentials;
    use crate::storage::target::Target;
    use crate::test_support::Scratch;
    use tokio::sync::mpsc::UnboundedReceiver;

    const CONTENT: &[u8] = b"what was recorded";

    struct Scene {
        work: Scratch,
        spare: Scratch,
        slice_store: SliceStore,
        events: UnboundedReceiver<UploadEvent>,
        restore: BackupRestore,
    }

    fn scene(files: &[&str]) -> Scene {
        let (work, spare) = (Scratch::new(), Scratch::new());
        let catalog = Catalog::open(work.path(), "").unwrap();
        catalog.write(Record::Begun(Box::new(begun()))).unwrap();
        for (file, at) in files.iter().zip(0..) {
            for record in slice(file, at * 1000, 1000) {
                catalog.write(record).unwrap();
            }
            std::fs::write(spare.path().join(file), CONTENT).unwrap();
        }
        let (slice_store, events) = SliceStore::in_directory(catalog, work.path());
        let target = Target::directory(spare.path(), &Storage::default());
        let backup = BackupStore { target, credentials: Credentials::None, after: Duration::ZERO };
        Scene { work, spare, slice_store, events, restore: BackupRestore::new(Some(backup)) }
    }

    fn away(file: &str) -> CompleteSlice {
        let complete = Complete {
            bytes: CONTENT.len() as u64,
            sha256: names::hex(&Sha256::digest(CONTENT)),
            backed_up: true,
            ..slice_complete()
        };
        CompleteSlice { file: file.to_owned(), start: 0, complete }
    }

    fn slice_complete() -> Complete {
        let ledger = crate::catalog::ledger::tests::ledger(slice("a", 0, 1000));
        ledger.slices()[0].complete().unwrap().clone()
    }

    impl Scene {
        async fn fetch(&mut self, file: &str) -> Option<Vec<u8>> {
            let path = self.restore.fetch(&away(file), &self.slice_store).await?;
            Some(std::fs::read(path).unwrap())
        }

        /// What was told once nothing else was to be done.
        fn told(&mut self) -> Vec<String> {
            self.restore.tell_withheld(&self.slice_store);
            std::iter::from_fn(|| self.events.try_recv().ok())
                .map(|event| match event {
                    UploadEvent::Failed(error) => error.message,
                    UploadEvent::BackupRecovered => "recovered".to_owned(),
                    _ => "something else".to_owned(),
                })
                .collect()
        }
    }

    /// Spoilt on its way or not: it is asked for again soon, and nothing is said of it, nor waits for it.
    #[tokio::test]
    async fn a_slice_that_comes_with_wrong_content_is_fetched_again_and_the_others_do_not_wait() {
        let mut scene = scene(&["a", "b"]);
        std::fs::write(scene.spare.path().join("a"), b"what was recordeD").unwrap();
        assert_eq!(scene.fetch("a").await, None);
        assert!(!scene.restore.gives("a") && scene.restore.gives("b"));
        assert_eq!(scene.fetch("b").await.unwrap(), CONTENT);
        assert_eq!(scene.told(), [""; 0]);
        std::fs::write(scene.spare.path().join("a"), CONTENT).unwrap();
        tokio::time::timeout(GONE_PAUSE / 2, scene.restore.again()).await.expect("the usual pause");
        assert!(scene.restore.gives("a"));
        assert_eq!(scene.fetch("a").await.unwrap(), CONTENT);
        scene.restore.forget("a", &scene.slice_store).unwrap();
        assert_eq!(scene.told(), [""; 0]);
    }

    #[tokio::test]
    async fn content_that_stays_wrong_is_told_once_for_what_it_is_and_that_it_came_home() {
        let mut scene = scene(&["a"]);
        std::fs::write(scene.spare.path().join("a"), b"what was recordeD").unwrap();
        for _ in 0..=WRONG_TIMES {
            assert_eq!(scene.fetch("a").await, None);
        }
        let told = scene.told();
        assert!(
            matches!(told.as_slice(), [one] if one.contains("did not give back what was written")
            && one.contains("a: what it gives back is not what was put there")),
            "{told:?}"
        );
        assert_eq!(scene.told(), [""; 0]);
        std::fs::write(scene.spare.path().join("a"), CONTENT).unwrap();
        assert!(scene.fetch("a").await.is_some());
        scene.restore.forget("a", &scene.slice_store).unwrap();
        assert_eq!(scene.told(), ["recovered"]);
    }

    /// A store that was away, and then has one file less than it should: the uploader would ask without a pause.
    #[tokio::test]
    async fn whoever_waits_for_what_is_withheld_is_not_told_to_ask_again_and_again() {
        let mut scene = scene(&["a"]);
        std::fs::remove_file(scene.spare.path().join("a")).unwrap();
        assert_eq!(scene.fetch("a").await, None);
        scene.restore.retry_at = Some(Instant::now());
        scene.restore.again().await;
        assert!(!scene.restore.gives("a"));
        tokio::time::timeout(Duration::from_millis(50), scene.restore.again()).await.expect_err("it is withheld");
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told_once_everything_else_was_done() {
        let mut scene = scene(&["a", "b"]);
        std::fs::remove_file(scene.spare.path().join("a")).unwrap();
        assert_eq!(scene.fetch("a").await, None);
        assert!(scene.events.try_recv().is_err(), "a rescue would end before the next one is home");
        assert!(scene.fetch("b").await.is_some());
        let told = scene.told();
        assert!(
            matches!(told.as_slice(), [one] if one.contains("does not hold a file that was put there")),
            "{told:?}"
        );
    }

    /// A disk that loses or spoils the copy would have the bucket fail for ever, and every other slice wait.
    #[tokio::test]
    async fn a_copy_that_the_work_volume_spoilt_is_fetched_again_and_is_no_failure_of_the_bucket() {
        for lost in [false, true] {
            let mut scene = scene(&["a", "b"]);
            let bucket = Scratch::new();
            let store =
                crate::storage::store::open(&Target::directory(bucket.path(), &Storage::default()), &Credentials::None)
                    .unwrap();
            let copy = scene.restore.fetch(&away("a"), &scene.slice_store).await.unwrap();
            if lost {
                std::fs::remove_file(&copy).unwrap();
            } else {
                std::fs::write(&copy, b"what was recordeD").unwrap();
            }
            let mut puts = crate::recorder::upload::slice_puts::SlicePuts::new(&store, &scene.slice_store);
            puts.add(away("a"), copy);
            puts.add(away("b"), scene.restore.fetch(&away("b"), &scene.slice_store).await.unwrap());
            let mut taken = Vec::new();
            while let Some((slice, _)) = puts.next().await.unwrap_or_else(|_| panic!("no failure of the bucket")) {
                taken.push(slice.file);
            }
            assert_eq!(taken, ["b"]);
            for (slice, failure) in puts.take_spoilt() {
                scene.restore.fetch_again(&slice, failure, &scene.slice_store);
            }
            assert!(!scene.restore.gives("a"));
            scene.restore.again().await;
            assert_eq!(scene.fetch("a").await.unwrap(), CONTENT);
            assert!(scene.work.path().join(fetched("a")).exists());
        }
    }
}
