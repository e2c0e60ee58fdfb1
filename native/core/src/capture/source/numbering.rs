// SPDX-License-Identifier: Apache-2.0
//! Keeps the numbers of a live playlist's segments going where its packager begins to count anew.
//!
//! libav looks for the next segment by its number alone, and would wait for it until the new numbers have caught up. So it
//! is handed the playlist with numbers that go on; what it may not have read yet of the old ones stays in front for a while.

/// So many segments are remembered of what was listed last: nobody reads further behind the end.
const REMEMBERED: usize = 32;

/// libav begins three segments before the end.
const BEHIND: usize = 3;

/// Greater numbers are no packager's.
const MOST: i64 = 1 << 40;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// The lines on its key and its header that hold for it, with nothing left to follow from its number.
    states: [Option<String>; 2],
    /// Its own tags and its address.
    lines: Vec<String>,
}

impl Segment {
    /// What stays the same where a list is only served anew: addresses may be signed for each reading.
    fn is_again(&self, other: &Self) -> bool {
        let path = |line: &String| line.split('?').next().unwrap_or_default().to_owned();
        self.lines.iter().map(path).eq(other.lines.iter().map(path))
    }
}

struct List {
    head: Vec<String>,
    segments: Vec<(i64, Segment)>,
    end: Vec<String>,
}

#[derive(Default)]
pub struct Numbering {
    /// The last that were listed, by the numbers that libav knows.
    listed: Vec<(i64, Segment)>,
    /// What to add to the packager's numbers.
    shift: i64,
    /// The segments from before the packager began anew that are still listed.
    kept: Vec<(i64, Segment)>,
}

impl Numbering {
    /// Takes note of a reading of the playlist. Returns what is to be read instead, where that differs; and whether the
    /// packager has just begun anew.
    pub fn follow(&mut self, text: &str) -> (Option<String>, bool) {
        let Some(mut list) = List::of(text) else { return (None, false) };
        let anew = self.begins_anew(&list);
        if anew {
            self.begin_anew(&list);
        }
        list.segments.iter_mut().for_each(|(number, _)| *number += self.shift);
        let tail = list.segments.len().saturating_sub(REMEMBERED);
        self.listed = list.segments[tail..].to_vec();
        let first_kept = self.kept.len().max(BEHIND);
        let (newest, border) =
            (list.segments.last().map(|(number, _)| *number), self.kept.last().map(|(number, _)| *number));
        if newest.zip(border).is_some_and(|(newest, border)| usize::try_from(newest - border).unwrap_or(0) > first_kept)
        {
            self.kept.clear();
        }
        (!self.is_plain()).then(|| self.written(&list)).map_or((None, anew), |text| (Some(text), anew))
    }

    fn is_plain(&self) -> bool {
        self.shift == 0 && self.kept.is_empty()
    }

    /// Numbers that run back are new ones, unless a cache has served what it had from before.
    fn begins_anew(&self, list: &List) -> bool {
        let newest = |segments: &[(i64, Segment)]| segments.last().map(|(number, _)| *number);
        let (Some(old), Some(new)) = (newest(&self.listed), newest(&list.segments)) else { return false };
        let known = |(number, segment): &(i64, Segment)| {
            let same = self.listed.iter().find(|(listed, _)| *listed == number + self.shift);
            same.is_some_and(|(_, listed)| listed.is_again(segment))
        };
        new + self.shift < old && !list.segments.iter().any(known)
    }

    /// Lets the new numbers go on behind the old ones; a segment that is in both lists keeps its number.
    fn begin_anew(&mut self, list: &List) {
        let known = |(own, segment): &(i64, Segment)| {
            let before = self.listed.iter().find(|(_, listed)| listed.is_again(segment));
            before.map(|(number, _)| number - own)
        };
        let next = self.listed.last().map_or(0, |(number, _)| number + 1);
        let first = list.segments.first().map_or(0, |(own, _)| *own);
        self.shift = list.segments.iter().find_map(known).unwrap_or(next - first);
        self.kept = std::mem::take(&mut self.listed);
        self.kept.retain(|(number, _)| *number < first + self.shift);
    }

    fn written(&self, list: &List) -> String {
        let mut lines = list.head.clone();
        let segments: Vec<&(i64, Segment)> = self.kept.iter().chain(&list.segments).collect();
        if let Some((number, _)) = segments.first() {
            lines.push(format!("#EXT-X-MEDIA-SEQUENCE:{number}"));
        }
        let mut current: [Option<String>; 2] = [None, None];
        for (index, (_, segment)) in segments.into_iter().enumerate() {
            // No tag says that a header holds no longer.
            for ((now, new), none) in
                current.iter_mut().zip(&segment.states).zip([Some("#EXT-X-KEY:METHOD=NONE"), None])
            {
                if now != new {
                    lines.extend(new.as_deref().or(none).map(str::to_owned));
                    now.clone_from(new);
                }
            }
            if index > 0 && index == self.kept.len() {
                lines.push("#EXT-X-DISCONTINUITY".to_owned());
            }
            lines.extend(segment.lines.iter().cloned());
        }
        lines.extend(list.end.iter().cloned());
        lines.join("\n") + "\n"
    }
}

impl List {
    /// The list of segments in the text, by the packager's own numbers; nothing if it lists none.
    fn of(text: &str) -> Option<Self> {
        let mut list = Self { head: Vec::new(), segments: Vec::new(), end: Vec::new() };
        let (mut number, mut states, mut own) = (0_i64, [None, None], Vec::new());
        for line in text.split(['\n', '\r']).map(str::trim_end).filter(|line| !line.is_empty()) {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                number = first.trim().parse().ok().filter(|number| (0..=MOST).contains(number))?;
            } else if line.starts_with("#EXT-X-STREAM-INF:") {
                return None;
            } else if line.starts_with("#EXT-X-KEY:") {
                states[0] = Some(line.to_owned());
            } else if line.starts_with("#EXT-X-MAP:") {
                states[1] = Some(line.to_owned());
            } else if line.starts_with("#EXT-X-ENDLIST") {
                list.end.push(line.to_owned());
            } else if line.starts_with('#') && !own.is_empty() || is_of_segment(line) {
                own.push(line.to_owned());
            } else if line.starts_with('#') {
                list.head.push(line.to_owned());
            } else {
                own.push(line.to_owned());
                let [key, map]: [Option<String>; 2] = states.clone();
                let segment =
                    Segment { states: [key.map(|key| with_vector(key, number)), map], lines: own.split_off(0) };
                list.segments.push((number, segment));
                number += 1;
            }
        }
        (!list.segments.is_empty()).then_some(list)
    }
}

fn is_of_segment(line: &str) -> bool {
    ["#EXTINF:", "#EXT-X-BYTERANGE:", "#EXT-X-DISCONTINUITY", "#EXT-X-PROGRAM-DATE-TIME:"]
        .iter()
        .any(|tag| line.starts_with(tag) && !line.starts_with("#EXT-X-DISCONTINUITY-SEQUENCE"))
}

/// Where a key's line names no initialisation vector, that is the segment's number (RFC 8216, 5.2).
fn with_vector(key: String, number: i64) -> String {
    if key.contains("METHOD=AES-128") && !key.contains("IV=") {
        format!("{key},IV=0x{number:032x}")
    } else {
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A playlist of the segments `name``first` and on.
    fn playlist(first: i64, count: i64, name: &str) -> String {
        let segments = (first..first + count).map(|number| format!("#EXTINF:2,\n{name}{number}.ts?token={count}\n"));
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{}", segments.collect::<String>())
    }

    /// The number and the name of each segment, as libav would read them.
    fn read(text: &str) -> Vec<(i64, String)> {
        let list = List::of(text).expect("segments");
        let name = |segment: &Segment| segment.lines.last().unwrap().split('.').next().unwrap().to_owned();
        list.segments.iter().map(|(number, segment)| (*number, name(segment))).collect()
    }

    #[test]
    fn a_playlist_that_goes_on_is_left_as_it_is() {
        let mut numbering = Numbering::default();
        for text in [playlist(7, 3, "a"), playlist(8, 3, "a"), playlist(20, 3, "a"), playlist(19, 3, "a")] {
            assert_eq!(numbering.follow(&text), (None, false), "{text}");
        }
        assert_eq!(numbering.follow(&playlist(i64::MAX - 3, 3, "a")), (None, false));
        assert_eq!(numbering.follow("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"), (None, false));
    }

    #[test]
    fn numbers_that_begin_anew_go_on_behind_the_old_ones_which_stay_for_a_while() {
        let mut numbering = Numbering::default();
        numbering.follow(&playlist(500, 3, "a"));
        let mut follow = |first, count| {
            let (text, anew) = numbering.follow(&playlist(first, count, "b"));
            (read(&text.expect("another text")), anew)
        };
        let named = |name: &str, numbers: std::ops::Range<i64>, shift: i64| {
            numbers.map(|number| (number + shift, format!("{name}{number}"))).collect::<Vec<_>>()
        };
        let old = named("a", 500..503, 0);
        assert_eq!(follow(0, 1), ([old.clone(), named("b", 0..1, 503)].concat(), true));
        assert_eq!(follow(0, 3), ([old, named("b", 0..3, 503)].concat(), false));
        assert_eq!(follow(1, 3), (named("b", 1..4, 503), false), "what libav has long read is gone");
        assert_eq!(follow(9, 3), (named("b", 9..12, 503), false));
        assert_eq!(follow(0, 2), ([named("b", 9..12, 503), named("b", 0..2, 515)].concat(), true), "and once more");
    }

    #[test]
    fn segments_that_are_only_renumbered_keep_their_numbers() {
        let mut numbering = Numbering::default();
        numbering.follow(&playlist(500, 3, "a"));
        let renumbered = playlist(501, 3, "a").replace("SEQUENCE:501", "SEQUENCE:0");
        let (text, anew) = numbering.follow(&renumbered);
        let expected =
            [(500, "a500"), (501, "a501"), (502, "a502"), (503, "a503")].map(|(n, name)| (n, name.to_owned()));
        assert_eq!((read(&text.unwrap()), anew), (expected.to_vec(), true));
    }

    #[test]
    fn keys_keep_the_vector_that_followed_from_the_number_and_headers_their_place() {
        let mut numbering = Numbering::default();
        let with = |text: String, lines: &str| {
            text.replace("#EXT-X-TARGETDURATION:2", &format!("#EXT-X-TARGETDURATION:2\n{lines}"))
        };
        numbering.follow(&with(playlist(10, 1, "a"), "#EXT-X-KEY:METHOD=AES-128,URI=\"k\""));
        let (text, _) = numbering.follow(&with(playlist(3, 1, "b"), "#EXT-X-MAP:URI=\"i\""));
        let vector = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x{:032x}", 10);
        let expected = [
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:10",
            &vector,
            "#EXTINF:2,\na10.ts?token=1\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"i\"\n#EXT-X-DISCONTINUITY",
            "#EXTINF:2,\nb3.ts?token=1\n",
        ];
        assert_eq!(text.unwrap(), expected.join("\n"));
    }
}
