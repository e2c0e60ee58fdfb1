// SPDX-License-Identifier: Apache-2.0
//! Which HLS playlists are handed on to libav, whose reader believes them: it keeps all that they list, follows those that
//! list themselves, and reads from a null pointer where one has no segments.

/// What every playlist begins with.
pub const HEAD: &[u8] = b"#EXTM3U";

/// Longer lists are no live source's: a day of segments, with signed URLs.
pub const MOST_BYTES: usize = 4 << 20;

/// Variants and renditions in a list of lists. libav takes some kilobytes for each, and opens all.
const MOST_CHOICES: usize = 64;

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
