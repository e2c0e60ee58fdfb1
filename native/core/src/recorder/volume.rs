// SPDX-License-Identifier: Apache-2.0
//! How full the work volume is: recording pauses before it is full, rather than be evicted or lose what is undelivered.

use std::path::{Path, PathBuf};

const FULL: u64 = 80;
/// Room enough again, so that recording does not pause and resume with every slice.
const ROOM: u64 = 70;

/// The volume, by the file system's account and by the part of it that the recording may count on.
pub struct Volume {
    directory: PathBuf,
    work_bytes: Option<u64>,
    file_system: Level,
    share: Level,
}

/// Full from one limit on, until below the other.
#[derive(Default)]
struct Level {
    is_full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usage {
    used: u64,
    size: u64,
}

impl Volume {
    #[must_use]
    pub fn new(directory: PathBuf, work_bytes: Option<u64>) -> Self {
        Self { directory, work_bytes, file_system: Level::default(), share: Level::default() }
    }

    /// Whether the volume has reached its limit by either account. One that cannot be asked is as it was: the next
    /// write finds out.
    pub fn is_full(&mut self) -> bool {
        if let Ok(usage) = Usage::of_file_system(&self.directory) {
            self.file_system.measure(usage);
        }
        if let Some(usage) = self.work_bytes.and_then(|size| Usage::of_directory(&self.directory, size).ok()) {
            self.share.measure(usage);
        }
        self.file_system.is_full || self.share.is_full
    }
}

impl Level {
    fn measure(&mut self, usage: Usage) {
        let limit = if self.is_full { ROOM } else { FULL };
        self.is_full = u128::from(usage.used) * 100 >= u128::from(usage.size) * u128::from(limit);
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
        let mut level = Level::default();
        for (used, is_full) in
            [(0, false), (799, false), (800, true), (799, true), (700, true), (699, false), (799, false)]
        {
            level.measure(Usage { used, size: 1000 });
            assert_eq!(level.is_full, is_full, "{used}");
        }
    }
}
