// SPDX-License-Identifier: Apache-2.0
//! AAC as transport streams carry it: every frame behind a header of seven bytes that says how to decode it.

use crate::capture::clock::{Nanos, SECOND};

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Spectral band replication, and the same with parametric stereo: wrapped around a plain object type.
const WRAPPERS: [u32; 2] = [5, 29];

const SAMPLES: i64 = 1024;
const HEADER: usize = 7;
const LONGEST: usize = (1 << 13) - 1;

/// What every header of a stream repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adts {
    /// The object type less one.
    profile: u8,
    rate_index: u8,
    channels: u8,
}

impl Adts {
    /// From a decoder's configuration; the error says what such headers cannot express.
    pub fn of_configuration(bytes: &[u8]) -> Result<Self, String> {
        let mut bits = Bits { bytes, at: 0 };
        let mut object = bits.object_type();
        let rate = bits.rate();
        let channels = bits.take(4);
        if WRAPPERS.contains(&object) {
            bits.rate();
            object = bits.object_type();
        }
        let profile = u8::try_from(object.wrapping_sub(1)).ok().filter(|profile| *profile < 4);
        let rate_index = rate.filter(|index| usize::from(*index) < RATES.len());
        let channels = u8::try_from(channels).ok().filter(|channels| (1..=7).contains(channels));
        match (profile, rate_index, channels) {
            _ if bits.at > bytes.len() * 8 => Err("its AAC configuration is incomplete".to_owned()),
            (Some(profile), Some(rate_index), Some(channels)) => Ok(Self { profile, rate_index, channels }),
            (None, _, _) => Err(format!("transport streams do not carry AAC of object type {object}")),
            _ => Err("transport streams do not carry AAC with this rate or these channels".to_owned()),
        }
    }

    /// From the header that a frame begins with, if it does.
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth, ..] = frame else { return None };
        let rate_index = third >> 2 & 0x0f;
        let header = Self { profile: third >> 6, rate_index, channels: (third & 1) << 2 | fourth >> 6 };
        (second & 0xf6 == 0xf0 && usize::from(rate_index) < RATES.len()).then_some(header)
    }

    /// The header of a frame of `length` bytes; `None` for a frame too long to have one.
    pub fn header(self, length: usize) -> Option<[u8; HEADER]> {
        let whole = length + HEADER;
        let part = |shift: usize, mask: usize| u8::try_from(whole >> shift & mask).unwrap_or(0);
        (whole <= LONGEST).then_some([
            0xff,
            0xf1,
            self.profile << 6 | self.rate_index << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | part(11, 3),
            part(3, 0xff),
            part(0, 7) << 5 | 0x1f,
            0xfc,
        ])
    }

    /// How long a frame lasts.
    pub fn duration(self) -> Nanos {
        SAMPLES * SECOND / i64::from(self.rate())
    }

    /// Samples per second.
    pub fn rate(self) -> u32 {
        RATES.get(usize::from(self.rate_index)).copied().unwrap_or(48_000)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Beyond the end there are zeros.
    fn take(&mut self, count: usize) -> u32 {
        (0..count).fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            value << 1 | u32::from(bit)
        })
    }

    fn object_type(&mut self) -> u32 {
        match self.take(5) {
            31 => 32 + self.take(6),
            short => short,
        }
    }

    fn rate(&mut self) -> Option<u8> {
        match self.take(4) {
            15 => {
                let rate = self.take(24);
                RATES.iter().position(|known| *known == rate).and_then(|index| u8::try_from(index).ok())
            }
            index => u8::try_from(index).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_headers_that_say_the_same() {
        // Low complexity, 44.1 kHz, mono.
        let adts = Adts::of_configuration(&[0x12, 0x08]).unwrap();
        assert_eq!(adts, Adts { profile: 1, rate_index: 4, channels: 1 });
        let header = adts.header(300).unwrap();
        assert_eq!(Adts::of_frame(&header), Some(adts));
        assert_eq!(usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5), 307);
        assert_eq!(adts.duration(), 1024 * SECOND / 44_100);
        assert_eq!(adts.header(LONGEST), None);
    }

    #[test]
    fn high_efficiency_is_told_by_its_plain_part() {
        // Band replication to 48 kHz over low complexity at 24 kHz, stereo.
        let adts = Adts::of_configuration(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(adts, Adts { profile: 1, rate_index: 6, channels: 2 });
    }

    #[test]
    fn what_headers_cannot_express_is_refused() {
        for (bytes, words) in [
            (&[0x12, 0x00][..], "these channels"),
            (&[0xf9, 0x46, 0x40], "object type 42"),
            (&[0x12], "incomplete"),
            (&[], "incomplete"),
        ] {
            let error = Adts::of_configuration(bytes).unwrap_err();
            assert!(error.contains(words), "{bytes:?}: {error}");
        }
        for frame in [&[0x21, 0x10, 0x04, 0x60][..], &[0xff], &[0xff, 0xfb, 0x90, 0x00], &[]] {
            assert_eq!(Adts::of_frame(frame), None, "{frame:?}");
        }
    }
}
