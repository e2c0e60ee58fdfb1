// SPDX-License-Identifier: Apache-2.0
//! The playlist: HLS version 3 with the interface's private tag. Append-only: each text continues the one before.

use std::fmt::Write as _;

use crate::capture::api::UtcMillis;
use crate::catalog::gaps::ROUNDING;
use crate::catalog::ledger::{Complete, Slice};
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
    let mut growing = Growing::new(slice_seconds);
    slices.for_each(|(slice, complete)| growing.add(slice, complete));
    if finished {
        growing.text.push_str("#EXT-X-ENDLIST\n");
    }
    growing.text
}

/// The files that the text lists; none of what the trial of a bucket leaves there.
pub fn listed(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// A playlist that is continued slice by slice, as the text of a long recording takes its time.
#[derive(Debug)]
pub struct Growing {
    text: String,
    /// Where the last segment ends.
    end: Option<i64>,
    pub count: usize,
}

impl Growing {
    #[must_use]
    pub fn new(slice_seconds: u32) -> Self {
        let text = format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:3\n\
             #EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-ALLOW-CACHE:YES\n\
             #EXT-X-TARGETDURATION:{slice_seconds}\n"
        );
        Self { text, end: None, count: 0 }
    }

    pub fn add(&mut self, slice: &Slice, complete: &Complete) {
        // Writing to a String cannot fail.
        let _ = segment(&mut self.text, self.end, slice, complete);
        self.end = Some(slice.start + complete.milliseconds());
        self.count += 1;
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// As a playlist has the duration of so many ticks of 90 kHz.
#[must_use]
pub fn microseconds(ticks: u64) -> u64 {
    (ticks * 100 + 4) / 9
}

/// `end` is where the segment before ended. Where a slice between was lost the times jump, which players must know.
fn segment(text: &mut String, end: Option<i64>, slice: &Slice, complete: &Complete) -> std::fmt::Result {
    let follows_hole = end.is_some_and(|end| slice.start - end > ROUNDING);
    let broken = slice.discontinuity || follows_hole;
    if broken && end.is_some() {
        writeln!(text, "#EXT-X-DISCONTINUITY")?;
    }
    if broken || end.is_none() {
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", names::utc_rfc3339(UtcMillis(slice.start)))?;
    }
    for track in &slice.tracks {
        let kind = if track.audio { "AUDIO" } else { "VIDEO" };
        let time = names::utc_digits(UtcMillis(track.at));
        writeln!(text, "#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE={kind},TIME={time}")?;
    }
    let microseconds = microseconds(complete.ticks);
    writeln!(text, "#EXTINF:{}.{:06},", microseconds / 1_000_000, microseconds % 1_000_000)?;
    writeln!(text, "{}", slice.file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{delivered, ledger, slice};
    use crate::catalog::record::{Record, TrackRecord};

    #[test]
    fn a_playlist_has_every_tag_in_its_place() {
        let start = 1_560_234_766_073;
        let tracks = vec![TrackRecord { audio: true, at: start }, TrackRecord { audio: false, at: start }];
        let mut records = slice("a.ts", start, 15_000).to_vec();
        records[0] = Record::Opened { file: "a.ts".into(), start, discontinuity: true, tracks };
        records.extend(slice("b.ts", start + 15_000, 7_033));
        let mut restarted = slice("c.ts", start + 30_000, 15_000);
        if let Record::Opened { discontinuity, tracks, .. } = &mut restarted[0] {
            *discontinuity = true;
            tracks.push(TrackRecord { audio: true, at: start + 30_000 });
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
    fn a_lost_slice_leaves_a_discontinuity() {
        let slices = [slice("a.ts", 0, 15_000), slice("b.ts", 15_001, 15_000), slice("c.ts", 30_001, 15_000)];
        let records = slices.into_iter().flatten().chain([delivered("a.ts"), delivered("c.ts")]);
        let catalog = ledger(records.chain([Record::Empty { file: "b.ts".into() }]));
        let text = playlist(catalog.unbroken(), 15, false);
        let tail = "a.ts\n\
                    #EXT-X-DISCONTINUITY\n\
                    #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:30.001Z\n\
                    #EXTINF:15.000000,\n\
                    c.ts\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn each_playlist_continues_the_one_before() {
        let mut catalog = ledger(slice("a.ts", 0, 15_000).into_iter().chain([delivered("a.ts")]));
        let one = playlist(catalog.unbroken(), 15, false);
        for record in slice("b.ts", 15_000, 15_000).into_iter().chain([delivered("b.ts")]) {
            catalog.apply(record);
        }
        let two = playlist(catalog.unbroken(), 15, false);
        assert!(two.starts_with(&one));
        assert_eq!(playlist(catalog.unbroken(), 15, true), two + "#EXT-X-ENDLIST\n");
    }
}
