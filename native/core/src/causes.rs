// SPDX-License-Identifier: Apache-2.0
//! Causes in one word for programs: of what is not recorded, or not kept, beside the causes of stores
//! (`storage::failure`). Each is a reason of the resource's status, too, by the same word.

pub const DECRYPTION_FAILED: &str = "DecryptionFailed";
pub const FILE_DAMAGED: &str = "FileDamaged";
pub const FILE_LOST: &str = "FileLost";
pub const MP4_NOT_MADE: &str = "MP4NotMade";
pub const NO_READ_RIGHT: &str = "NoReadRight";
pub const PART_UNREADABLE: &str = "PartUnreadable";
pub const WORK_VOLUME_FULL: &str = "WorkVolumeFull";
