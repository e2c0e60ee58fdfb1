// SPDX-License-Identifier: Apache-2.0
//! How full the work volume is: recording pauses before it is full, rather than be evicted or lose what is undelivered.

use std::path::{Path, PathBuf};

/// In per cent. A level is reached until it is left, so that recording does not pause and resume with every slice.
#[derive(Clone, Copy)]
struct Limits {
    reached: u64,
    left: u64,
}

const FULL: Limits = Limits { reached: 80, left: 70 };
/// Where what is not needed makes room, long before recording has to pause.
const TIGHT: Limits = Limits { reached: 60, left: 50 };

/// The volume, by the file system's account and by the part of it that the recording may count on.
pub struct Volume {
    directory: PathBuf,
    work_bytes: Option<u64>,
    full: Levels,
    tight: Levels,
}

/// By both accounts.
struct Levels {
    file_system: Level,
    share: Level,
}

struct Level {
    limits: Limits,
    is_reached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    used: u64,
    size: u64,
}

impl Volume {
    #[must_use]
    pub fn new(directory: PathBuf, work_bytes: Option<u64>) -> Self {
        Self { directory, work_bytes, full: Levels::new(FULL), tight: Levels::new(TIGHT) }
    }

    /// Whether the volume has reached its limit by either account. One that cannot be asked is as it was: the next
    /// write finds out.
    pub fn is_full(&mut self) -> bool {
        self.full.are_reached(&self.directory, self.work_bytes)
    }

    /// Whether what is not needed should make room.
    pub fn is_tight(&mut self) -> bool {
        self.tight.are_reached(&self.directory, self.work_bytes)
    }
}

/// How many bytes may still be written, by both accounts.
pub fn room(directory: &Path, work_bytes: Option<u64>) -> std::io::Result<u64> {
    let left = |usage: Usage| usage.size.saturating_sub(usage.used);
    let of_file_system = left(Usage::of_file_system(directory)?);
    Ok(match work_bytes {
        Some(size) => left(Usage::of_directory(directory, size)?).min(of_file_system),
        None => of_file_system,
    })
}

impl Levels {
    fn new(limits: Limits) -> Self {
        Self { file_system: Level::new(limits), share: Level::new(limits) }
    }

    fn are_reached(&mut self, directory: &Path, work_bytes: Option<u64>) -> bool {
        if let Ok(usage) = Usage::of_file_system(directory) {
            self.file_system.measure(usage);
        }
        if let Some(usage) = work_bytes.and_then(|size| Usage::of_directory(directory, size).ok()) {
            self.share.measure(usage);
        }
        self.file_system.is_reached || self.share.is_reached
    }
}

impl Level {
    fn new(limits: Limits) -> Self {
        Self { limits, is_reached: false }
    }

    fn measure(&mut self, usage: Usage) {
        let limit = if self.is_reached { self.limits.left } else { self.limits.reached };
        self.is_reached = u128::from(usage.used) * 100 >= u128::from(usage.size) * u128::from(limit);
    }
}

impl Usage {
    /// What root keeps for itself is neither used nor to be had.
    fn of_file_system(directory: &Path) -> std::io::Result<Self> {
        let about = rustix::fs::statvfs(directory)?;
        let used = about.f_blocks.saturating_sub(about.f_bfree);
        Ok(Self { used: used * about.f_frsize, size: (used + about.f_bavail) * about.f_frsize })
    }

    fn of_directory(directory: &Path, size: u64) -> std::io::Result<Self> {
        let mut used = 0;
        for entry in std::fs::read_dir(directory)? {
            // A slice may be removed while this looks.
            used += entry?.metadata().map_or(0, |about| about.len());
        }
        Ok(Self { used, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_full_at_80_per_cent_until_it_is_below_70() {
        let mut level = Level::new(FULL);
        for (used, is_full) in
            [(0, false), (799, false), (800, true), (799, true), (700, true), (699, false), (799, false)]
        {
            level.measure(Usage { used, size: 1000 });
            assert_eq!(level.is_reached, is_full, "{used}");
        }
    }
}
