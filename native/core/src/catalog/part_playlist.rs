// SPDX-License-Identifier: Apache-2.0
//! The playlist of one part, read back from a store: whatever is there by now, only what a recorder writes is taken, and of
//! files only slices of that very part.

use chrono::NaiveDate;

use crate::capture::api::UtcMillis;
use crate::catalog::gaps::ROUNDING;
use crate::names;

/// Longer than any slice can be.
const LONGEST_SECONDS: u32 = 3600;
const LONGEST_EVENT: usize = 128;
const DIGITS_OF_TIME: usize = 17;

#[derive(Debug, PartialEq, Eq)]
pub struct PartPlaylist {
    pub target_seconds: u32,
    /// Whether nothing follows, by its own word.
    pub is_ended: bool,
    pub slices: Vec<ListedSlice>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ListedSlice {
    pub file: String,
    /// Milliseconds of UTC, by its name.
    pub start: i64,
    pub microseconds: u64,
    /// Whether it does not run on from the one before.
    pub discontinuity: bool,
    /// Whether its time is stated.
    pub dated: bool,
    /// What is said of tracks that start in it.
    pub tracks: Vec<String>,
}

impl ListedSlice {
    /// The slice of this part that has this name, of which nothing else is known.
    #[must_use]
    pub fn of_file(stem: &str, file: &str) -> Option<Self> {
        start(stem, file).map(|start| Self { file: file.to_owned(), start, ..Self::default() })
    }

    /// One that starts then, of which nothing else is known.
    #[must_use]
    pub fn named(stem: &str, start: i64) -> Self {
        Self { file: names::slice(stem, UtcMillis(start)), start, ..Self::default() }
    }

    /// When one starts that runs on from it, or that has so much between: starts are whole milliseconds, and durations
    /// are not.
    #[must_use]
    pub fn starts_behind(&self, microseconds: u64) -> [i64; 2] {
        let since = self.microseconds.saturating_add(microseconds) / 1000;
        let earliest = self.start.saturating_add(i64::try_from(since).unwrap_or(i64::MAX));
        [earliest, earliest.saturating_add(1)]
    }

    /// Whether it runs on from this one, as far as their names can say.
    #[must_use]
    pub fn follows(&self, former: &Self) -> bool {
        (self.start - former.stop()).abs() <= ROUNDING
    }

    #[must_use]
    pub fn stop(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.milliseconds()).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        (self.microseconds + 500) / 1000
    }
}

impl PartPlaylist {
    /// The playlist of the part whose files' names begin with the stem; the error says what is wrong with which line.
    pub fn parse(text: &str, stem: &str) -> Result<Self, String> {
        let mut lines = text.lines().zip(1_usize..);
        if lines.next().is_none_or(|(line, _)| line != "#EXTM3U") {
            return Err("is no playlist".to_owned());
        }
        let mut reader = PlaylistReader { stem, target_seconds: None, next: ListedSlice::default(), slices: vec![] };
        let mut is_ended = false;
        for (line, number) in lines {
            if line == "#EXT-X-ENDLIST" {
                is_ended = true;
                break;
            }
            reader.take(line).map_err(|wrong| format!("line {number}: {wrong}"))?;
        }
        let target_seconds = reader.target_seconds.ok_or("has no #EXT-X-TARGETDURATION")?;
        Ok(Self { target_seconds, is_ended, slices: reader.slices })
    }
}

struct PlaylistReader<'a> {
    stem: &'a str,
    target_seconds: Option<u32>,
    /// What is said of the next slice so far.
    next: ListedSlice,
    slices: Vec<ListedSlice>,
}

impl PlaylistReader<'_> {
    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-VERSION" if value != "3" => return Err("is of another version of HLS than 3"),
            "#EXT-X-MEDIA-SEQUENCE" if value != "0" => return Err("leaves out slices at its beginning"),
            "#EXT-X-VERSION" | "#EXT-X-MEDIA-SEQUENCE" | "#EXT-X-ALLOW-CACHE" | "#EXT-X-PLAYLIST-TYPE" => {}
            "#EXT-X-TARGETDURATION" => self.target_seconds = Some(seconds(value).ok_or("has no target duration")?),
            "#EXT-X-DISCONTINUITY" => self.next.discontinuity = true,
            "#EXT-X-PROGRAM-DATE-TIME" => self.next.dated = true,
            "#EXT-X-AGORA-TRACK-EVENT" if is_event(value) => self.next.tracks.push(value.to_owned()),
            "#EXTINF" => self.next.microseconds = duration(value).ok_or("has no duration of a slice")?,
            _ if line.starts_with("#EXT") => return Err("has a tag that no recorder writes there"),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => return self.list(line),
        }
        Ok(())
    }

    fn list(&mut self, file: &str) -> Result<(), &'static str> {
        let start = start(self.stem, file).ok_or("names a file that is no slice of this part")?;
        if self.next.microseconds == 0 {
            return Err("names a slice without its duration");
        }
        let said = std::mem::take(&mut self.next);
        self.slices.push(ListedSlice { file: file.to_owned(), start, ..said });
        Ok(())
    }
}

/// When a slice starts, by its name.
fn start(stem: &str, file: &str) -> Option<i64> {
    let digits = file.strip_prefix(stem)?.strip_prefix('_')?.strip_suffix(".ts")?;
    if digits.len() != DIGITS_OF_TIME || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)?).ok()?, number(4..6)?, number(6..8)?)?;
    let time = date.and_hms_milli_opt(number(8..10)?, number(10..12)?, number(12..14)?, number(14..17)?)?;
    let millis = time.and_utc().timestamp_millis();
    // A leap second has a name that no slice bears.
    (names::slice(stem, UtcMillis(millis)) == file).then_some(millis)
}

fn seconds(text: &str) -> Option<u32> {
    text.parse().ok().filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds))
}

/// Microseconds of `seconds[.fraction],[title]`.
fn duration(text: &str) -> Option<u64> {
    let number = text.split(',').next()?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 5 || fraction.len() > 6 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let microseconds = whole.parse::<u64>().ok()? * 1_000_000 + format!("{fraction:0<6}").parse::<u64>().ok()?;
    (1..=u64::from(LONGEST_SECONDS) * 1_000_000).contains(&microseconds).then_some(microseconds)
}

/// `EVENT=START,TRACK_TYPE=AUDIO,TIME=20190611063246073`, and the like.
fn is_event(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'=' | b',' | b'_');
    !text.is_empty() && text.len() <= LONGEST_EVENT && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ledger::tests::{delivered, ledger, slice};
    use crate::catalog::playlist::playlist;
    use crate::catalog::record::{Record, TrackRecord};

    const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:15\n";

    #[test]
    fn what_a_recorder_writes_is_read_back() {
        let start = 1_560_234_766_073;
        let name = |at: i64| names::slice("stem", UtcMillis(at));
        let tracks = vec![TrackRecord { audio: true, at: start }];
        let mut records = slice(&name(start), start, 15_000).to_vec();
        records[0] = Record::Opened { file: name(start), start, discontinuity: true, tracks };
        records.extend(slice(&name(start + 40_000), start + 40_000, 7_033));
        records.extend([delivered(&name(start)), delivered(&name(start + 40_000))]);
        let text = playlist(ledger(records).unbroken(), 15, true);
        let read = PartPlaylist::parse(&text, "stem").unwrap();
        let first = ListedSlice {
            file: name(start),
            start,
            microseconds: 15_000_000,
            discontinuity: false,
            dated: true,
            tracks: vec!["EVENT=START,TRACK_TYPE=AUDIO,TIME=20190611063246073".to_owned()],
        };
        let second = ListedSlice {
            file: name(start + 40_000),
            start: start + 40_000,
            microseconds: 7_033_000,
            discontinuity: true,
            dated: true,
            tracks: vec![],
        };
        assert_eq!(second.stop(), start + 47_033);
        assert_eq!(read, PartPlaylist { target_seconds: 15, is_ended: true, slices: vec![first, second] });
    }

    #[test]
    fn what_no_recorder_writes_is_refused_with_its_line() {
        let slice = "#EXTINF:15.0,\nstem_20190611063246073.ts\n";
        let table = [
            (String::new(), "is no playlist"),
            ("<html>".to_owned(), "is no playlist"),
            ("#EXTM3U\n".to_owned(), "has no #EXT-X-TARGETDURATION"),
            (format!("{HEAD}#EXT-X-VERSION:7\n"), "line 5: is of another version of HLS than 3"),
            (format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:9\n"), "line 5: leaves out slices at its beginning"),
            (format!("{HEAD}#EXT-X-TARGETDURATION:4000\n"), "line 5: has no target duration"),
            (format!("{HEAD}#EXT-X-KEY:METHOD=AES-128\n"), "line 5: has a tag that no recorder writes there"),
            (format!("{HEAD}#EXT-X-AGORA-TRACK-EVENT:a\"b\n"), "line 5: has a tag that no recorder writes there"),
            (format!("{HEAD}#EXTINF:-1,\n"), "line 5: has no duration of a slice"),
            (format!("{HEAD}#EXTINF:99999999,\n"), "line 5: has no duration of a slice"),
            (format!("{HEAD}#EXTINF:0.0000001,\n"), "line 5: has no duration of a slice"),
            (format!("{HEAD}stem_20190611063246073.ts\n"), "line 5: names a slice without its duration"),
            (
                format!("{HEAD}{slice}#EXTINF:1,\nhttps://elsewhere.example.com/a.ts\n"),
                "line 8: names a file that is no slice of this part",
            ),
            (
                format!("{HEAD}#EXTINF:1,\nbak0_stem_20190611063246073.ts\n"),
                "line 6: names a file that is no slice of this part",
            ),
            (
                format!("{HEAD}#EXTINF:1,\nstem_20191311063246073.ts\n"),
                "line 6: names a file that is no slice of this part",
            ),
            (
                format!("{HEAD}#EXTINF:1,\nstem_20190611063246073_bad.ts\n"),
                "line 6: names a file that is no slice of this part",
            ),
        ];
        for (text, why) in table {
            assert_eq!(PartPlaylist::parse(&text, "stem").unwrap_err(), why, "{text}");
        }
        let read = PartPlaylist::parse(&format!("{HEAD}{slice}#EXT-X-ENDLIST\n<html>"), "stem").unwrap();
        assert_eq!(read.slices.len(), 1);
    }
}
