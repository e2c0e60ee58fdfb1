// SPDX-License-Identifier: Apache-2.0
//! What must be known of H.264 to copy it: how its units are framed, and which parameter sets are in force.
//!
//! Parameter sets are compared and copied as they are; one byte of them is read. A parser such as `h264-reader` would read
//! fields that nobody asks for, and takes no configuration that is cut short.

/// A sequence parameter set is all that decides over a picture's size and coding.
const SEQUENCE: u8 = 7;
const PICTURE: u8 = 8;
const LAST_SLICE: u8 = 5;

/// Baseline, Main, Extended and High: what players of HLS decode.
const PROFILES: [u8; 4] = [66, 77, 88, 100];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterSets {
    pub sequence: Vec<Vec<u8>>,
    pub picture: Vec<Vec<u8>>,
}

/// How units follow each other in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    StartCodes,
    /// Each unit after its length in so many bytes.
    Lengths(usize),
}

impl ParameterSets {
    /// As a byte stream with start codes.
    pub fn byte_stream(&self) -> Vec<u8> {
        let units = self.sequence.iter().chain(&self.picture);
        units.flat_map(|unit| [&[0, 0, 0, 1], unit.as_slice()].concat()).collect()
    }

    /// The profile, where players of HLS cannot be expected to decode it.
    pub fn foreign_profile(&self) -> Option<u8> {
        let profiles = self.sequence.iter().filter_map(|unit| unit.get(1).copied());
        profiles.into_iter().find(|profile| !PROFILES.contains(profile))
    }
}

/// How packets are framed, and the parameter sets in a decoder's configuration.
pub fn configuration(bytes: &[u8]) -> (Framing, ParameterSets) {
    let &[1, _, _, _, lengths, ref rest @ ..] = bytes else {
        return (Framing::StartCodes, parameter_sets(bytes, Framing::StartCodes));
    };
    let mut sets = ParameterSets::default();
    let read = counted(rest, 0x1f).map(|(sequence, rest)| {
        sets.sequence = sequence;
        sets.picture = counted(rest, 0xff).map(|(picture, _)| picture).unwrap_or_default();
    });
    // A configuration without sets leaves them to the stream.
    let _ = read;
    (Framing::Lengths(usize::from(lengths & 3) + 1), sets)
}

/// A counted list of units with 16 bit lengths, and what follows it.
fn counted(bytes: &[u8], mask: u8) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let (count, mut rest) = bytes.split_first()?;
    let mut units = Vec::new();
    for _ in 0..count & mask {
        let (unit, after) = length_prefixed(rest, 2)?;
        units.push(unit.to_vec());
        rest = after;
    }
    Some((units, rest))
}

fn length_prefixed(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let length = bytes.get(..size)?.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let rest = &bytes[size..];
    (length <= rest.len()).then(|| rest.split_at(length))
}

/// The parameter sets that come before a packet's picture.
pub fn parameter_sets(packet: &[u8], framing: Framing) -> ParameterSets {
    let mut sets = ParameterSets::default();
    let mut rest = packet;
    while let Some((unit, after)) = next_unit(rest, framing) {
        rest = after;
        match unit.first().map(|header| header & 0x1f) {
            Some(SEQUENCE) => sets.sequence.push(unit.to_vec()),
            Some(PICTURE) => sets.picture.push(unit.to_vec()),
            Some(1..=LAST_SLICE) => break,
            _ => {}
        }
    }
    sets
}

fn next_unit(bytes: &[u8], framing: Framing) -> Option<(&[u8], &[u8])> {
    match framing {
        Framing::Lengths(size) => length_prefixed(bytes, size),
        Framing::StartCodes => {
            let start = start_code(bytes)? + 3;
            let rest = &bytes[start..];
            // A picture is as long as the packet; only the short units before it need an end.
            let slice = rest.first().is_some_and(|header| (1..=LAST_SLICE).contains(&(header & 0x1f)));
            let end = if slice { rest.len() } else { start_code(rest).unwrap_or(rest.len()) };
            let (unit, after) = rest.split_at(end);
            let padding = unit.iter().rev().take_while(|byte| **byte == 0).count();
            Some((&unit[..unit.len() - padding], after))
        }
    }
}

fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 4] = [0x67, 66, 0, 30];
    const PPS: [u8; 3] = [0x68, 0xce, 0x38];
    const IDR: [u8; 3] = [0x65, 0x88, 0x84];

    fn sets() -> ParameterSets {
        ParameterSets { sequence: vec![SPS.to_vec()], picture: vec![PPS.to_vec()] }
    }

    #[test]
    fn parameter_sets_are_found_in_both_framings() {
        let stream = [&[0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1][..], &SPS, &[0, 0, 1], &PPS, &[0, 0, 1], &IDR].concat();
        assert_eq!(parameter_sets(&stream, Framing::StartCodes), sets());
        let lengths = [&[0, 0, 0, 4][..], &SPS, &[0, 0, 0, 3], &PPS, &[0, 0, 0, 3], &IDR].concat();
        assert_eq!(parameter_sets(&lengths, Framing::Lengths(4)), sets());
        assert_eq!(parameter_sets(&[&[0, 0, 1][..], &IDR].concat(), Framing::StartCodes), ParameterSets::default());
    }

    #[test]
    fn a_configuration_tells_framing_and_sets() {
        let record = [&[1, 66, 0, 30, 0xff, 0xe1, 0, 4][..], &SPS, &[1, 0, 3], &PPS].concat();
        assert_eq!(configuration(&record), (Framing::Lengths(4), sets()));
        assert_eq!(configuration(&sets().byte_stream()), (Framing::StartCodes, sets()));
        assert_eq!(configuration(&[]), (Framing::StartCodes, ParameterSets::default()));
    }

    #[test]
    fn cut_and_hostile_bytes_are_passed_over() {
        let record = [&[1, 66, 0, 30, 0xff, 0xe1, 0, 4][..], &SPS, &[1, 0, 3], &PPS].concat();
        for length in 0..record.len() {
            let _ = configuration(&record[..length]);
            let _ = parameter_sets(&record[..length], Framing::Lengths(4));
            let _ = parameter_sets(&record[..length], Framing::StartCodes);
        }
        assert_eq!(parameter_sets(&[0xff; 64], Framing::Lengths(4)), ParameterSets::default());
    }

    #[test]
    fn profiles_that_browsers_do_not_decode_are_foreign() {
        assert_eq!(sets().foreign_profile(), None);
        let ten_bits = ParameterSets { sequence: vec![vec![0x67, 110, 0, 30]], picture: vec![] };
        assert_eq!(ten_bits.foreign_profile(), Some(110));
    }
}
