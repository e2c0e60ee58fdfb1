// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::test_support::Scratch;

fn store(root: &Path, prefix: Option<&str>) -> DirectoryStore {
    DirectoryStore::new(&DirectoryTarget { directory: root.to_owned(), prefix: prefix.map(str::to_owned) })
}

fn run<T>(work: impl std::future::Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn put(store: &DirectoryStore, name: &str, content: &'static [u8]) -> Result<Proof, StoreError> {
    run(store.put(name, ObjectKind::Playlist, Bytes::from_static(content)))
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn files_are_put_whole_replaced_got_and_deleted() {
    let scratch = Scratch::new();
    let store = store(scratch.path(), Some("a/b"));
    let below = scratch.path().join("a/b");
    for content in [b"one".as_slice(), b"two"] {
        assert_eq!(put(&store, "x.m3u8", content).unwrap(), Proof::Compared);
        assert_eq!(std::fs::read(below.join("x.m3u8")).unwrap(), content);
    }
    assert_eq!(names_in(&below), ["x.m3u8"], "nothing but what was put");
    let copy = scratch.path().join("copy");
    let sha256 = run(store.get_file("x.m3u8", Some(3), &copy)).unwrap();
    assert_eq!((sha256, std::fs::read(&copy).unwrap()), (names::hex(&Sha256::digest("two")), b"two".to_vec()));
    let larger = run(store.get_file("x.m3u8", Some(2), &copy)).unwrap_err();
    assert_eq!(larger.cause, StoreCause::Unverified, "whoever replaced it fills no volume");
    run(store.delete("x.m3u8")).unwrap();
    assert_eq!(run(store.get_file("x.m3u8", Some(3), &copy)).unwrap_err().cause, StoreCause::FileGone);
}

#[test]
fn two_processes_that_write_one_file_do_so_one_after_the_other() {
    let scratch = Scratch::new();
    let (at, published) = (scratch.path().join(".x.partial"), scratch.path().join("x.m3u8"));
    let opened = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        open.filter(|file| std::fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|to| to == at)).count()
    };
    let mut first = create_alone(&at).unwrap();
    std::thread::scope(|threads| {
        let second = threads.spawn(|| create_alone(&at).unwrap().write_all(b"second").unwrap());
        while opened() < 2 && !second.is_finished() {
            std::thread::yield_now();
        }
        first.write_all(b"first").unwrap();
        std::fs::rename(&at, &published).unwrap();
        drop(first);
        second.join().unwrap();
    });
    assert_eq!(
        (std::fs::read(published).unwrap(), std::fs::read(at).unwrap()),
        (b"first".to_vec(), b"second".to_vec())
    );
}

#[test]
fn what_another_process_writes_meanwhile_is_not_removed() {
    let scratch = Scratch::new();
    let path = scratch.path().join("x.m3u8");
    let mut partial = PartialFile::begin(scratch.path(), path.clone()).unwrap();
    let at = partial.at.clone();
    partial.write(b"mine").unwrap();
    partial.file.sync_all().unwrap();
    std::fs::rename(&at, &path).unwrap();
    partial.has_its_name = true;
    std::fs::write(&at, b"another's").unwrap();
    drop(partial);
    assert_eq!(std::fs::read(at).unwrap(), b"another's");
}

#[test]
fn a_large_file_goes_piece_by_piece_and_only_as_what_it_is_to_be() {
    let scratch = Scratch::new();
    let store = store(scratch.path(), None);
    let from = scratch.path().join("from");
    let content = vec![7; 2 * PIECE + 1];
    std::fs::write(&from, &content).unwrap();
    let pieces = std::sync::atomic::AtomicUsize::new(0);
    let taken = || {
        pieces.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let right = names::hex(&Sha256::digest(&content));
    let file = |sha256| LocalFile { path: &from, sha256: Some(sha256), taken: &taken };
    let failure = run(store.put_file("x.mp4", ObjectKind::Mp4, file("other"))).unwrap_err();
    assert_eq!(failure.cause, StoreCause::Damaged);
    assert_eq!(names_in(scratch.path()), ["from"]);
    let put = run(store.put_file("x.mp4", ObjectKind::Mp4, file(&right))).unwrap();
    assert_eq!(put, Put { bytes: content.len() as u64, sha256: right.clone(), proof: Proof::Compared });
    assert_eq!(pieces.into_inner(), 6);
    assert_eq!(std::fs::read(scratch.path().join("x.mp4")).unwrap(), content);
}

#[test]
fn what_is_in_the_way_is_told_apart_and_nothing_is_made_in_its_place() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join(name);
    std::fs::write(at("file"), "").unwrap();
    std::fs::create_dir(at("x.m3u8")).unwrap();
    let gone = put(&store(&at("gone"), Some("a")), "x.m3u8", b"x").unwrap_err();
    assert_eq!(gone.cause, StoreCause::NoSuchDirectory);
    assert!(!at("gone").exists(), "where nothing is mounted, nothing is made");
    assert_eq!(put(&store(&at("file"), None), "x.m3u8", b"x").unwrap_err().cause, StoreCause::NoSuchDirectory);
    let clash = put(&store(scratch.path(), None), "x.m3u8", b"x").unwrap_err();
    assert_eq!(clash.cause, StoreCause::Other);
    assert!(clash.detail.contains("x.m3u8: Is a directory"), "{}", clash.detail);
    // No file system of root's own refuses root; this one takes no files.
    assert!(put(&store(Path::new("/proc"), None), "x.m3u8", b"x").is_err());
    let target = crate::storage::target::Target::Directory(DirectoryTarget { directory: at("gone"), prefix: None });
    let sentence = gone.sentence(&target);
    assert!(sentence.starts_with(&format!("directory {} is not there: create it", at("gone").display())), "{sentence}");
}

#[test]
fn kinds_of_errors_have_causes() {
    use io::ErrorKind as Kind;
    for (kind, cause) in [
        (Kind::StorageFull, StoreCause::QuotaExceeded),
        (Kind::QuotaExceeded, StoreCause::QuotaExceeded),
        (Kind::PermissionDenied, StoreCause::AccessDenied),
        (Kind::ReadOnlyFilesystem, StoreCause::AccessDenied),
        (Kind::TimedOut, StoreCause::Timeout),
        (Kind::Other, StoreCause::Other),
    ] {
        let target =
            crate::storage::target::Target::Directory(DirectoryTarget { directory: "/d".into(), prefix: None });
        let failure = failed(Path::new("/d/x"), &kind.into());
        assert_eq!(failure.cause, cause, "{kind}");
        let sentence = failure.sentence(&target);
        assert!(!["bucket", "key", "server", "s3:"].iter().any(|word| sentence.contains(word)), "{sentence}");
    }
}

#[test]
fn an_attempt_that_hangs_keeps_the_next_one_out() {
    let scratch = Scratch::new();
    let store = store(scratch.path(), None);
    let hangs = store.begin("x.ts")().unwrap();
    assert_eq!(put(&store, "x.ts", b"x").unwrap_err().cause, StoreCause::Timeout);
    put(&store, "y.ts", b"y").unwrap();
    drop(hangs);
    put(&store, "x.ts", b"x").unwrap();
    // What a killed process left is written over.
    let left = store.begin("x.ts")().unwrap();
    let at = left.at.clone();
    drop(left);
    std::fs::write(&at, "of a killed process").unwrap();
    put(&store, "x.ts", b"x").unwrap();
    assert!(!at.exists());
}
