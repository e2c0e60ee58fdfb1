// SPDX-License-Identifier: Apache-2.0
//! How full the work volume is: recording pauses before it is full, rather than be evicted or lose what is undelivered.
//! What counts is the volume's own limit: bytes that are free on a disk of its own, the most that an `emptyDir` may hold,
//! and on a node's disk what the kubelet leaves free by evicting pods.

use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;

use crate::config::{Document, WorkVolume};

/// What is free, and of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    free: u64,
    size: u64,
}

/// How much is to stay free. A level is reached until it is left, so that recording does not pause and resume with every
/// slice.
#[derive(Debug, Clone, Copy)]
enum Threshold {
    /// So many per cent, but no more than so many bytes: on large volumes a share would be far more than anybody needs.
    Own { per_cent: u64, bytes: u64 },
    /// So many per cent, however large the disk is.
    Share { per_cent: u64 },
}

#[derive(Clone, Copy)]
struct Thresholds {
    reached: Threshold,
    left: Threshold,
}

const GIB: u64 = 1 << 30;

const OWN_FULL: Thresholds = Thresholds {
    reached: Threshold::Own { per_cent: 20, bytes: 4 * GIB },
    left: Threshold::Own { per_cent: 30, bytes: 6 * GIB },
};
/// Where what is not needed makes room, long before recording has to pause.
const OWN_TIGHT: Thresholds = Thresholds {
    reached: Threshold::Own { per_cent: 40, bytes: 8 * GIB },
    left: Threshold::Own { per_cent: 50, bytes: 12 * GIB },
};

/// What of a disk is free, in per cent, when the kubelet begins to evict pods: of the one that holds the images, which is
/// mostly the one that holds volumes, too, and of one that holds volumes alone.
const EVICTIONS: [u64; 2] = [15, 10];

/// How full a node's disk may be so that pods are not evicted: what the kubelet keeps free where that is known, and else as
/// far as it can be told: where less is free already and this pod runs, the kubelet does not evict for that.
fn of_node(disk: Room, kept_free: Option<u64>) -> (Thresholds, Thresholds) {
    let share = |per_cent| Threshold::Share { per_cent };
    let limits = |reached, left| Thresholds { reached: share(reached), left: share(left) };
    let usual = || EVICTIONS.into_iter().find(|per_cent| disk.free > share(*per_cent).of(disk.size));
    match kept_free.or_else(usual) {
        Some(eviction) => (limits(eviction + 1, eviction + 3), limits(eviction + 5, eviction + 7)),
        None => (OWN_FULL, OWN_TIGHT),
    }
}

/// It evicts at 5 % of the files, too.
const NODE_FILES: Thresholds =
    Thresholds { reached: Threshold::Share { per_cent: 6 }, left: Threshold::Share { per_cent: 7 } };

/// Where a recording's files lie, and what of that it may count on.
#[derive(Debug, Clone)]
pub struct WorkDirectory {
    pub path: PathBuf,
    pub limits: VolumeLimits,
}

/// How much of the disk that it lies on a recording may fill.
#[derive(Debug, Clone, Copy, Default)]
pub struct VolumeLimits {
    pub kind: WorkVolume,
    /// The most that may be there, where that is less than the file system says.
    pub most_bytes: Option<u64>,
    /// What the node's kubelet keeps free of its disk, in per cent, where that is known.
    pub node_disk_free_percent: Option<u64>,
}

pub struct Volume {
    directory: WorkDirectory,
    full: Levels,
    tight: Levels,
}

/// How full the volume is, by the account that leaves least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillLevel {
    /// Recording has to pause.
    pub full: bool,
    /// What is not needed should make room.
    pub tight: bool,
    /// How many bytes may still be written before recording pauses, none once it has; `None` where the volume cannot be
    /// asked.
    pub bytes_left: Option<u64>,
}

/// What is free by each account that can be had.
struct Rooms {
    disk: Option<Room>,
    limit: Option<Room>,
    /// Files are counted here, and not bytes.
    files: Option<Room>,
}

/// By each account.
struct Levels {
    disk: Level,
    limit: Level,
    files: Level,
}

struct Level {
    limits: Thresholds,
    is_reached: bool,
}

impl Volume {
    #[must_use]
    pub fn new(directory: WorkDirectory) -> Self {
        let levels =
            |disk, limit| Levels { disk: Level::new(disk), limit: Level::new(limit), files: Level::new(NODE_FILES) };
        let (full, tight) = match (directory.limits.kind, statvfs(&directory.path)) {
            (WorkVolume::NodeDisk, Ok(about)) => {
                of_node(directory.disk(&about), directory.limits.node_disk_free_percent)
            }
            _ => (OWN_FULL, OWN_TIGHT),
        };
        Self { directory, full: levels(full, OWN_FULL), tight: levels(tight, OWN_TIGHT) }
    }

    /// How full the volume is at present. By an account that cannot be had it is as it was: the next write finds out.
    pub fn measure(&mut self) -> FillLevel {
        let rooms = self.directory.rooms();
        self.full.measure(&rooms);
        self.tight.measure(&rooms);
        let full = self.full.are_reached();
        // What is free beyond the limit that it paused at is not written before as much is as lets it go on.
        let bytes_left = self.full.bytes_left(&rooms).map(|left| if full { 0 } else { left });
        FillLevel { full, tight: self.tight.are_reached(), bytes_left }
    }
}

impl VolumeLimits {
    #[must_use]
    pub fn of_document(document: &Document) -> Self {
        Self {
            kind: document.work_volume,
            most_bytes: document.work_bytes,
            node_disk_free_percent: document.node_disk_free_percent.map(u64::from),
        }
    }
}

impl WorkDirectory {
    /// How many bytes may still be written, by all accounts.
    pub fn room(&self) -> std::io::Result<u64> {
        let disk = self.disk(&statvfs(&self.path)?);
        let kept_free = match self.limits.kind {
            WorkVolume::Dedicated => 0,
            WorkVolume::NodeDisk => of_node(disk, self.limits.node_disk_free_percent).0.reached.of(disk.size),
        };
        let free = disk.free.saturating_sub(kept_free);
        Ok(match self.limit()? {
            Some(limit) => limit.free.min(free),
            None => free,
        })
    }

    fn rooms(&self) -> Rooms {
        let about = statvfs(&self.path).ok();
        Rooms {
            disk: about.as_ref().map(|about| self.disk(about)),
            limit: self.limit().ok().flatten(),
            // Some file systems do not count them.
            files: about
                .filter(|about| self.limits.kind == WorkVolume::NodeDisk && about.f_files > 0)
                .map(|about| Room { free: about.f_favail, size: about.f_files }),
        }
    }

    /// The disk as whoever evicts counts it, and where nobody does without what root keeps for itself.
    fn disk(&self, about: &StatVfs) -> Room {
        let free = about.f_bavail * about.f_frsize;
        let used = about.f_blocks.saturating_sub(about.f_bfree) * about.f_frsize;
        let size = match self.limits.kind {
            WorkVolume::Dedicated => used + free,
            WorkVolume::NodeDisk => about.f_blocks * about.f_frsize,
        };
        Room { free, size }
    }

    fn limit(&self) -> std::io::Result<Option<Room>> {
        let Some(size) = self.limits.most_bytes else { return Ok(None) };
        // The kubelet's limit is on all that is in the volume, which is the recording's own.
        let counted = match self.limits.kind {
            WorkVolume::Dedicated => self.path.as_path(),
            WorkVolume::NodeDisk => self.path.parent().unwrap_or(&self.path),
        };
        Ok(Some(Room { free: size.saturating_sub(used_below(counted)?), size }))
    }
}

impl Levels {
    fn measure(&mut self, rooms: &Rooms) {
        let accounts = [(&mut self.disk, rooms.disk), (&mut self.limit, rooms.limit), (&mut self.files, rooms.files)];
        for (level, room) in accounts {
            if let Some(room) = room {
                level.measure(room);
            }
        }
    }

    fn are_reached(&self) -> bool {
        self.disk.is_reached || self.limit.is_reached || self.files.is_reached
    }

    fn bytes_left(&self, rooms: &Rooms) -> Option<u64> {
        let left = |level: &Level, room: Room| room.free.saturating_sub(level.limits.reached.of(room.size));
        [(&self.disk, rooms.disk), (&self.limit, rooms.limit)]
            .into_iter()
            .filter_map(|(level, room)| Some(left(level, room?)))
            .min()
    }
}

impl Level {
    fn new(limits: Thresholds) -> Self {
        Self { limits, is_reached: false }
    }

    fn measure(&mut self, room: Room) {
        let limit = if self.is_reached { self.limits.left } else { self.limits.reached };
        self.is_reached = room.free <= limit.of(room.size);
    }
}

impl Threshold {
    /// What is to stay free of so much.
    fn of(self, size: u64) -> u64 {
        let share = |per_cent: u64| u64::try_from(u128::from(size) * u128::from(per_cent) / 100).unwrap_or(u64::MAX);
        match self {
            Self::Own { per_cent, bytes } => share(per_cent).min(bytes),
            Self::Share { per_cent } => share(per_cent),
        }
    }
}

fn statvfs(directory: &Path) -> std::io::Result<StatVfs> {
    Ok(rustix::fs::statvfs(directory)?)
}

fn used_below(directory: &Path) -> std::io::Result<u64> {
    let mut used = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // A slice may be removed while this looks.
        let Ok(about) = entry.metadata() else { continue };
        used += if about.is_dir() { used_below(&entry.path()).unwrap_or(0) } else { about.len() };
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Scratch;

    /// Which of these amounts of free bytes, seen one after the other, are too little.
    fn too_little(limits: Thresholds, size: u64, free: &[u64]) -> Vec<bool> {
        let mut level = Level::new(limits);
        free.iter()
            .map(|free| {
                level.measure(Room { free: *free, size });
                level.is_reached
            })
            .collect()
    }

    #[test]
    fn a_small_volume_is_full_at_80_per_cent_until_it_is_below_70() {
        let free = [1000, 201, 200, 201, 300, 301, 201];
        assert_eq!(too_little(OWN_FULL, 1000, &free), [false, false, true, true, true, false, false]);
    }

    #[test]
    fn nothing_stops_on_a_large_volume_while_there_are_gigabytes() {
        let free = [500 * GIB, 5 * GIB, 4 * GIB, 6 * GIB, 7 * GIB];
        assert_eq!(too_little(OWN_FULL, 5000 * GIB, &free), [false, false, true, true, false]);
        assert_eq!(too_little(OWN_TIGHT, 5000 * GIB, &free), [false, true, true, true, true]);
    }

    #[test]
    fn on_a_nodes_disk_recording_pauses_before_the_kubelet_evicts() {
        let size = 1000 * GIB;
        let full = |free| of_node(Room { free: free * GIB, size }, None).0;
        let free = [170, 160, 151, 180, 181].map(|per_mille| per_mille * GIB);
        assert_eq!(too_little(full(600), size, &free), [false, true, true, true, false]);
        assert_eq!(too_little(full(151), size, &free[..2]), [false, true]);
        // A pod that runs with less shows that the kubelet does not evict for that.
        assert_eq!(too_little(full(150), size, &[149, 111, 110].map(|free| free * GIB)), [false, false, true]);
        assert_eq!(too_little(full(100), size, &[99, 5, 4].map(|free| free * GIB)), [false, false, true]);
    }

    #[test]
    fn where_it_is_known_what_the_kubelet_keeps_free_nothing_is_guessed() {
        let size = 1000 * GIB;
        let room = Room { free: 160 * GIB, size };
        let full = |kept_free| of_node(room, Some(kept_free)).0;
        assert_eq!(too_little(full(1), size, &[160, 21, 20].map(|free| free * GIB)), [false, false, true]);
        assert_eq!(too_little(full(20), size, &[220, 210, 231].map(|free| free * GIB)), [false, true, false]);
    }

    #[test]
    fn while_recording_pauses_nothing_may_be_written_though_more_is_free_than_it_paused_at() {
        let scratch = Scratch::new();
        let slice = scratch.path().join("slice");
        let (path, kind) = (scratch.path().to_owned(), WorkVolume::Dedicated);
        let limits = VolumeLimits { kind, most_bytes: Some(1000), ..VolumeLimits::default() };
        let mut volume = Volume::new(WorkDirectory { path, limits });
        let mut with_used = |used| {
            std::fs::write(&slice, vec![0; used]).unwrap();
            let level = volume.measure();
            (level.full, level.bytes_left)
        };
        assert_eq!(with_used(750), (false, Some(50)));
        assert_eq!(with_used(850), (true, Some(0)));
        assert_eq!(with_used(750), (true, Some(0)));
        assert_eq!(with_used(650), (false, Some(150)));
    }

    #[test]
    fn an_empty_dir_counts_all_that_is_in_it_and_a_recordings_share_what_is_its_own() {
        let scratch = Scratch::new();
        let directory = scratch.path().join("id");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(scratch.path().join("outbox"), vec![0; 600]).unwrap();
        std::fs::write(directory.join("slice"), vec![0; 300]).unwrap();
        for (kind, free) in [(WorkVolume::NodeDisk, 100), (WorkVolume::Dedicated, 700)] {
            let limits = VolumeLimits { kind, most_bytes: Some(1000), ..VolumeLimits::default() };
            let directory = WorkDirectory { path: directory.clone(), limits };
            assert_eq!(directory.limit().unwrap(), Some(Room { free, size: 1000 }));
            assert!(directory.room().unwrap() <= free);
            let level = Volume::new(directory).measure();
            assert_eq!(level.tight, free == 100);
            // A fifth of it stays free.
            let left = level.bytes_left.unwrap();
            assert!(left <= free.saturating_sub(200), "{left}");
        }
    }
}
