// SPDX-License-Identifier: Apache-2.0
//! The names of a recording's files: the same on disk, in the bucket, in playlists and in callbacks, but for the
//! manifest's.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::capture::api::UtcMillis;

/// The longest name that common file systems take.
pub const LONGEST_FILE_NAME: usize = 255;

/// What the longest name of a slice adds to the stem: `_`, 17 digits, `_bad.ts`.
const SLICE_SUFFIX: usize = 25;

/// The channel's name with every byte outside `[A-Za-z0-9._-]` as `=XX`: reversible, and safe as a file name, an object
/// key and a line of a playlist alike.
#[must_use]
pub fn safe_channel(channel: &str) -> String {
    channel.bytes().fold(String::with_capacity(channel.len()), |mut safe, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            safe.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(safe, "={byte:02X}");
        }
        safe
    })
}

/// What the names of a recording's files begin with; `None` where the slices' names would be too long for a file system.
#[must_use]
pub fn stem(prefix: &str, recording_id: &str, channel: &str) -> Option<String> {
    let stem = format!("{prefix}{recording_id}_{}", safe_channel(channel));
    (stem.len() + SLICE_SUFFIX <= LONGEST_FILE_NAME).then_some(stem)
}

#[must_use]
pub fn playlist(stem: &str) -> String {
    format!("{stem}.m3u8")
}

/// What a store is asked to take that is tried without anything being put there.
#[must_use]
pub fn trial(stem: &str) -> String {
    format!("{stem}_trial")
}

/// The other way round.
#[must_use]
pub fn stem_of(playlist: &str) -> Option<&str> {
    playlist.strip_suffix(".m3u8")
}

/// The playlist that comes home to the bucket after `OnRecordingBackedUp`: a name of its own, so that it overwrites
/// nothing. `n` counts from 0.
#[must_use]
pub fn late_playlist(stem: &str, tick: i64, n: usize) -> String {
    format!("{stem}_{tick}_{n}.m3u8")
}

/// What the names of a playlist and of what is beside it begin with, where the usual ones are another recording's.
#[must_use]
pub fn stem_of_own(stem: &str, tick: i64) -> String {
    format!("{stem}_{tick}_0")
}

#[must_use]
pub fn slice(stem: &str, start: UtcMillis) -> String {
    format!("{stem}_{}.ts", utc_digits(start))
}

/// The name under which a slice's file that is not what was written is kept; no playlist lists it.
#[must_use]
pub fn damaged(slice: &str) -> String {
    format!("{}_bad.ts", slice.strip_suffix(".ts").unwrap_or(slice))
}

/// The one file of all slices.
#[must_use]
pub fn mp4(stem: &str) -> String {
    format!("{stem}.mp4")
}

/// What the names of the files over all parts begin with; the stem is that of the first part.
#[must_use]
pub fn merged(stem: &str) -> String {
    format!("{stem}_merged")
}

/// The same where nothing is put twice: of these parts, in a name that no others have, by the digest of their playlist.
#[must_use]
pub fn merged_once(stem: &str, sha256: &str) -> String {
    format!("{stem}_merged_{}", sha256.get(..12).unwrap_or(sha256))
}

/// The journal's name in the backup store.
#[must_use]
pub fn journal(stem: &str) -> String {
    format!("{stem}_journal.jsonl")
}

/// The manifest's name in the bucket; on disk it is `manifest.json`.
#[must_use]
pub fn manifest(stem: &str) -> String {
    format!("{stem}_manifest.json")
}

/// `yyyyMMddHHmmssSSS`, UTC.
#[must_use]
pub fn utc_digits(time: UtcMillis) -> String {
    date_time(time).format("%Y%m%d%H%M%S%3f").to_string()
}

/// RFC 3339 with milliseconds, UTC.
#[must_use]
pub fn utc_rfc3339(time: UtcMillis) -> String {
    date_time(time).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn date_time(time: UtcMillis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.0).unwrap_or_default()
}

/// Whether the text is a recording id: 32 lower-case hexadecimal digits.
#[must_use]
pub fn is_recording_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[must_use]
pub fn random_recording_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn channel_names_become_safe_and_stay_distinct() {
        let table = [
            ("room-1", "room-1"),
            ("a.b_c-D9", "a.b_c-D9"),
            ("two words", "two=20words"),
            ("a/b", "a=2Fb"),
            ("#?%", "=23=3F=25"),
            ("=2F", "=3D2F"),
            ("会议", "=E4=BC=9A=E8=AE=AE"),
            ("🎥", "=F0=9F=8E=A5"),
            ("..", ".."),
        ];
        for (channel, safe) in table {
            assert_eq!(safe_channel(channel), safe);
        }
    }

    #[test]
    fn files_are_named_as_the_interface_says() {
        let stem = stem("bak0_", ID, "room 1").unwrap();
        assert_eq!(stem, format!("bak0_{ID}_room=201"));
        assert_eq!(playlist(&stem), format!("bak0_{ID}_room=201.m3u8"));
        let start = UtcMillis(1_560_234_766_073);
        assert_eq!(slice(&stem, start), format!("bak0_{ID}_room=201_20190611063246073.ts"));
        let set_aside = damaged(&slice(&stem, start));
        assert_eq!(set_aside, format!("bak0_{ID}_room=201_20190611063246073_bad.ts"));
        assert_eq!(set_aside.len(), stem.len() + SLICE_SUFFIX);
        assert_eq!(utc_rfc3339(start), "2019-06-11T06:32:46.073Z");
    }

    #[test]
    fn instants_are_written_as_the_calendar_has_them() {
        let known = [
            (0, "19700101000000000"),
            (951_782_399_999, "20000228235959999"),
            (951_782_400_000, "20000229000000000"),
            (1_709_164_799_001, "20240228235959001"),
            (1_735_689_599_999, "20241231235959999"),
            (4_107_542_400_000, "21000301000000000"),
        ];
        for (millis, text) in known {
            assert_eq!(utc_digits(UtcMillis(millis)), text);
        }
    }

    #[test]
    fn sixty_four_bytes_of_any_channel_fit_and_too_many_are_told() {
        assert!(stem("bak9_", ID, &"会".repeat(21)).is_some());
        assert!(stem("", ID, &"🎥".repeat(60)).is_none());
    }

    #[test]
    fn recording_ids_are_32_lower_case_digits() {
        assert!(is_recording_id(ID));
        assert!(is_recording_id(&random_recording_id()));
        assert_ne!(random_recording_id(), random_recording_id());
        for wrong in ["", "0123", &ID.to_uppercase(), &format!("{ID}0"), &ID.replace('0', "/")] {
            assert!(!is_recording_id(wrong));
        }
    }
}
