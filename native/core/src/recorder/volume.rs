// SPDX-License-Identifier: Apache-2.0
//! How full the work volume is: recording pauses before it is full, rather than be evicted or lose what is undelivered.

use std::path::Path;

const FULL: u64 = 80;
/// Room enough again, so that recording does not pause and resume with every slice.
const ROOM: u64 = 70;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    pub size: u64,
}

impl Usage {
    /// Of the file system that holds the directory.
    pub fn of_file_system(directory: &Path) -> std::io::Result<Self> {
        let about = rustix::fs::statvfs(directory)?;
        let free = about.f_bavail * about.f_frsize;
        let size = about.f_blocks * about.f_frsize;
        Ok(Self { used: size.saturating_sub(free), size })
    }

    /// Of the part of it that the recording may count on.
    pub fn of_directory(directory: &Path, size: u64) -> std::io::Result<Self> {
        let mut used = 0;
        for entry in std::fs::read_dir(directory)? {
            // A slice may be removed while this looks.
            used += entry?.metadata().map_or(0, |about| about.len());
        }
        Ok(Self { used, size })
    }

    #[must_use]
    pub fn is_full(self, was_full: bool) -> bool {
        let limit = if was_full { ROOM } else { FULL };
        self.used >= self.size / 100 * limit
    }
}

/// Whether the volume has reached its limit by either measure.
pub fn is_full(directory: &Path, work_bytes: Option<u64>, was_full: bool) -> std::io::Result<bool> {
    let limited = work_bytes.map(|size| Usage::of_directory(directory, size)).transpose()?;
    Ok(Usage::of_file_system(directory)?.is_full(was_full) || limited.is_some_and(|usage| usage.is_full(was_full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_full_at_80_per_cent_until_it_is_below_70() {
        let usage = |used| Usage { used, size: 1000 };
        for (used, was_full, is_full) in
            [(0, false, false), (799, false, false), (800, false, true), (799, true, true), (690, true, false)]
        {
            assert_eq!(usage(used).is_full(was_full), is_full, "{used} {was_full}");
        }
    }
}
