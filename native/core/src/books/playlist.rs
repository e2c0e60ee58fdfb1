// SPDX-License-Identifier: Apache-2.0
//! The playlist: HLS version 3 with the interface's private tag. Append-only: each text continues the one before.

use std::fmt::Write as _;

use crate::books::ledger::{Complete, Slice};
use crate::capture::api::UtcMillis;
use crate::names;

/// The playlist of these slices; a finished one tells players that nothing follows.
///
/// The target duration is fixed from the start, as players rely on it: slices are cut at the limit, so none is longer.
#[must_use]
pub fn playlist<'a>(
    slices: impl Iterator<Item = (&'a Slice, &'a Complete)>,
    slice_seconds: u32,
    finished: bool,
) -> String {
    let mut text = format!(
        "#EXTM3U\n\
         #EXT-X-VERSION:3\n\
         #EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-ALLOW-CACHE:YES\n\
         #EXT-X-TARGETDURATION:{slice_seconds}\n"
    );
    for (index, (slice, complete)) in slices.enumerate() {
        // Writing to a String cannot fail.
        let _ = segment(&mut text, index == 0, slice, complete);
    }
    if finished {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn segment(text: &mut String, first: bool, slice: &Slice, complete: &Complete) -> std::fmt::Result {
    if slice.discontinuity && !first {
        writeln!(text, "#EXT-X-DISCONTINUITY")?;
    }
    if slice.discontinuity || first {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", names::utc_rfc3339(UtcMillis(slice.start)))?;
    }
    for track in &slice.tracks {
        let kind = if track.audio { "AUDIO" } else { "VIDEO" };
        let time = names::utc_digits(UtcMillis(track.at));
        writeln!(text, "#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE={kind},TIME={time}")?;
    }
    let microseconds = (complete.ticks * 100 + 4) / 9;
    writeln!(text, "#EXTINF:{}.{:06},", microseconds / 1_000_000, microseconds % 1_000_000)?;
    writeln!(text, "{}", slice.file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::ledger::tests::{delivered, ledger, slice};
    use crate::books::record::{Record, Track};

    #[test]
    fn a_playlist_has_every_tag_in_its_place() {
        let start = 1_560_234_766_073;
        let tracks = vec![Track { audio: true, at: start }, Track { audio: false, at: start }];
        let mut records = slice("a.ts", start, 15_000).to_vec();
        records[0] = Record::Opened { file: "a.ts".into(), start, discontinuity: true, tracks };
        records.extend(slice("b.ts", start + 15_000, 7_033));
        let mut restarted = slice("c.ts", start + 30_000, 15_000);
        if let Record::Opened { discontinuity, tracks, .. } = &mut restarted[0] {
            *discontinuity = true;
            tracks.push(Track { audio: true, at: start + 30_000 });
        }
        records.extend(restarted);
        records.extend([delivered("a.ts"), delivered("b.ts"), delivered("c.ts")]);
        assert_eq!(
            playlist(ledger(records).unbroken(), 15, true),
            "#EXTM3U\n\
             #EXT-X-VERSION:3\n\
             #EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-ALLOW-CACHE:YES\n\
             #EXT-X-TARGETDURATION:15\n\
             #EXT-X-PROGRAM-DATE-TIME:2019-06-11T06:32:46.073Z\n\
             #EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE=AUDIO,TIME=20190611063246073\n\
             #EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE=VIDEO,TIME=20190611063246073\n\
             #EXTINF:15.000000,\n\
             a.ts\n\
             #EXTINF:7.033000,\n\
             b.ts\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-PROGRAM-DATE-TIME:2019-06-11T06:33:16.073Z\n\
             #EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE=AUDIO,TIME=20190611063316073\n\
             #EXTINF:15.000000,\n\
             c.ts\n\
             #EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn each_playlist_continues_the_one_before() {
        let mut books = ledger(slice("a.ts", 0, 15_000).into_iter().chain([delivered("a.ts")]));
        let one = playlist(books.unbroken(), 15, false);
        for record in slice("b.ts", 15_000, 15_000).into_iter().chain([delivered("b.ts")]) {
            books.apply(record);
        }
        let two = playlist(books.unbroken(), 15, false);
        assert!(two.starts_with(&one));
        assert_eq!(playlist(books.unbroken(), 15, true), two + "#EXT-X-ENDLIST\n");
    }
}
