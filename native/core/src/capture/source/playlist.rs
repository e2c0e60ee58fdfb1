// SPDX-License-Identifier: Apache-2.0
//! Which HLS playlists are handed on to libav, whose reader believes them: it keeps all that they list, follows those that
//! list themselves, and reads from a null pointer where one has no segments. Tells, too, how late a segment may come.

use std::time::Duration;

use crate::capture::clock::{nanos, Nanos, SECOND};

/// What every playlist begins with.
pub const HEAD: &[u8] = b"#EXTM3U";

/// Longer lists are no live source's: a day of segments, with signed URLs.
pub const MOST_BYTES: usize = 4 << 20;

/// Variants and renditions in a list of lists. libav takes some kilobytes for each, and opens all.
pub const MOST_CHOICES: usize = 64;

/// No segment is waited for longer, whatever a playlist says of their length.
const MOST_LATENESS: Nanos = 5 * SECOND;

/// How a playlist that still grows hands out its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// The longest that a segment is.
    target: Nanos,
    segments: usize,
}

impl Cadence {
    /// What the playlist says; nothing if it lists other lists, or has an end.
    pub fn of(text: &[u8]) -> Option<Self> {
        let value = |tag: &[u8]| lines(text).find_map(|line| line.strip_prefix(tag));
        let target = std::str::from_utf8(value(b"#EXT-X-TARGETDURATION:")?).ok()?.trim().parse::<f64>().ok()?;
        let segments = lines(text).filter(|line| line.starts_with(b"#EXTINF:")).count();
        if segments == 0 || value(b"#EXT-X-ENDLIST").is_some() {
            return None;
        }
        Some(Self { target: nanos(Duration::try_from_secs_f64(target).ok()?), segments })
    }

    /// By how much the next segment may be late: who looks before it is listed looks again after half a target duration
    /// (RFC 8216, 6.3.4).
    pub fn lateness(self) -> Nanos {
        (self.target / 2).min(MOST_LATENESS)
    }

    /// How long to hold the first segment back, so that the next does not come late. A second one in store covers that.
    pub fn head_start(self) -> Nanos {
        if self.segments < 2 {
            self.lateness()
        } else {
            0
        }
    }
}

/// Whether libav may read the playlist. One that another playlist led to must list segments.
pub fn is_sound(text: &[u8], is_root: bool) -> bool {
    let count = |tag: &[u8]| lines(text).filter(|line| line.starts_with(tag)).count();
    let choices = count(b"#EXT-X-STREAM-INF:") + count(b"#EXT-X-MEDIA:");
    if choices == 0 || !is_root {
        return choices == 0 && has_segments(text);
    }
    choices <= MOST_CHOICES
}

fn has_segments(text: &[u8]) -> bool {
    let mut after = lines(text).skip_while(|line| !line.starts_with(b"#EXTINF:"));
    after.any(|line| !line.starts_with(b"#"))
}

/// As libav tells lines apart.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cadence_of_a_playlist_that_grows_is_half_of_its_longest_segment() {
        let one = "#EXTINF:2,\na.ts\n";
        let table = [
            (format!("#EXT-X-TARGETDURATION:2\n{one}"), Some((SECOND, SECOND))),
            (format!("#EXT-X-TARGETDURATION:3\r\n{one}{one}"), Some((3 * SECOND / 2, 0))),
            (format!("#EXT-X-TARGETDURATION: 2.5 \n{one}"), Some((5 * SECOND / 4, 5 * SECOND / 4))),
            (format!("#EXT-X-TARGETDURATION:1000000000000\n{one}"), Some((MOST_LATENESS, MOST_LATENESS))),
            (format!("#EXT-X-TARGETDURATION:2\n{one}#EXT-X-ENDLIST\n"), None),
            (format!("#EXT-X-TARGETDURATION:-2\n{one}"), None),
            (format!("#EXT-X-TARGETDURATION:1e300\n{one}"), None),
            (format!("#EXT-X-TARGETDURATION:two\n{one}"), None),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".to_owned(), None),
        ];
        for (text, expected) in table {
            let cadence = Cadence::of(format!("#EXTM3U\n{text}").as_bytes());
            assert_eq!(cadence.map(|found| (found.lateness(), found.head_start())), expected, "{text}");
        }
    }

    #[test]
    fn lists_of_segments_and_lists_of_those_are_sound_and_nothing_else() {
        let many = "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".repeat(65);
        let table = [
            ("#EXTINF:2,\na.ts\n", true, true),
            ("#EXT-X-TARGETDURATION:2\r\n#EXTINF:2,\r\n#EXT-X-BYTERANGE:10@0\r\na.ts", true, true),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", true, false),
            ("#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", true, false),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n#EXTINF:2,\na.ts\n", true, false),
            (many.as_str(), false, false),
            ("#EXT-X-TARGETDURATION:2\n", false, false),
            ("#EXTINF:2,\n#EXT-X-ENDLIST\n", false, false),
            ("a.ts\n#EXTINF:2,\n", false, false),
            ("#EXTINF:2,\n \n", false, false),
        ];
        for (text, as_root, as_reference) in table {
            let text = format!("#EXTM3U\n{text}");
            assert_eq!(is_sound(text.as_bytes(), true), as_root, "{text}");
            assert_eq!(is_sound(text.as_bytes(), false), as_reference, "{text}");
        }
    }
}
