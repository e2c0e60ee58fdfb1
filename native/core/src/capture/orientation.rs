// SPDX-License-Identifier: Apache-2.0
//! How pictures are to be turned, as H.264 and HEVC say it themselves: display orientation messages.
//!
//! libav tells only of the pictures that carry a message, and not of one that takes a turn back. A message holds for all
//! pictures until the next one, or until a key picture without any. `FFmpeg`'s own filter puts it behind the key picture
//! where that had none before it, so the packet that follows has a say, too.

use ffmpeg_sys_next::AVCodecID;

use super::av::turn::Turn;
use super::passthrough::h264::Framing;

/// Message and payload of a supplemental unit (H.264, annex D; HEVC, annex D).
const ORIENTATION: usize = 47;
const H264_SUPPLEMENTAL: u8 = 6;
const HEVC_SUPPLEMENTAL: u8 = 39;

/// A quarter turn anticlockwise, as messages count.
const QUARTER: u32 = 1 << 14;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrientationMessage {
    pub turn: Turn,
    /// Whether it holds beyond its own picture.
    lasting: bool,
}

/// Follows the messages of one stream.
#[derive(Default)]
pub struct Orientation {
    turn: Turn,
    /// The last packet was a key picture without a message.
    untold: bool,
}

impl Orientation {
    /// How the packet's picture is to be turned; packets come in the order of decoding.
    pub fn follow(&mut self, packet: &[u8], is_key: bool, codec: AVCodecID, framing: Framing) -> Turn {
        let stated = stated(packet, codec, framing);
        let untold = std::mem::replace(&mut self.untold, is_key && stated.is_none());
        match stated {
            Some(OrientationMessage { turn, lasting }) => {
                self.turn = if lasting { turn } else { Turn::NONE };
                turn
            }
            None if untold => {
                self.turn = Turn::NONE;
                self.turn
            }
            None => self.turn,
        }
    }
}

/// How units are framed in packets of a stream with this configuration.
pub fn framing(codec: AVCodecID, configuration: &[u8]) -> Framing {
    let at = if codec == AVCodecID::AV_CODEC_ID_HEVC { 21 } else { 4 };
    match (configuration.first(), configuration.get(at)) {
        (Some(1), Some(lengths)) => Framing::Lengths(usize::from(lengths & 3) + 1),
        _ => Framing::StartCodes,
    }
}

/// What the messages before the packet's picture say, if any is about its orientation.
pub fn stated(packet: &[u8], codec: AVCodecID, framing: Framing) -> Option<OrientationMessage> {
    let (kind, header): (fn(u8) -> u8, usize) = match codec {
        AVCodecID::AV_CODEC_ID_H264 => (|byte| byte & 0x1f, 1),
        AVCodecID::AV_CODEC_ID_HEVC => (|byte| byte >> 1 & 0x3f, 2),
        _ => return None,
    };
    let is_hevc = header == 2;
    let is_picture = |kind: u8| if is_hevc { kind < 32 } else { (1..=5).contains(&kind) };
    let supplemental = if is_hevc { HEVC_SUPPLEMENTAL } else { H264_SUPPLEMENTAL };
    let mut at = 0;
    let mut found = None;
    while let Some(start) = unit_start(packet, at, framing) {
        let this = kind(*packet.get(start)?);
        if is_picture(this) {
            break;
        }
        let end = unit_end(packet, start, at, framing);
        if this == supplemental {
            found = message(packet.get(start + header..end).unwrap_or_default(), is_hevc).or(found);
        }
        at = end;
    }
    found
}

/// The packet with a message of its own before its picture, which is H.264.
pub fn with_message(packet: &[u8], turn: Turn, framing: Framing) -> Vec<u8> {
    let unit = unit(turn);
    let mut at = 0;
    while let Some(start) = unit_start(packet, at, framing) {
        if packet.get(start).is_some_and(|byte| (1..=5).contains(&(byte & 0x1f))) {
            break;
        }
        at = unit_end(packet, start, at, framing);
    }
    let prefix = match framing {
        // Shorter than 256 bytes.
        Framing::Lengths(size) => [vec![0; size - 1], vec![u8::try_from(unit.len()).unwrap_or(0)]].concat(),
        Framing::StartCodes => vec![0, 0, 0, 1],
    };
    [&packet[..at], &prefix, &unit, &packet[at..]].concat()
}

/// Where the first byte of the unit is that begins at `at` with its length, or behind it with a start code.
fn unit_start(packet: &[u8], at: usize, framing: Framing) -> Option<usize> {
    match framing {
        Framing::Lengths(size) => (at + size < packet.len()).then_some(at + size),
        Framing::StartCodes => start_code(packet, at).map(|code| code + 3).filter(|start| *start < packet.len()),
    }
}

/// Where the next one begins: with zeros before a start code, if there are.
fn unit_end(packet: &[u8], start: usize, at: usize, framing: Framing) -> usize {
    match framing {
        Framing::Lengths(_) => {
            let length = packet[at..start].iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            start.saturating_add(length).min(packet.len())
        }
        Framing::StartCodes => {
            let code = start_code(packet, start).unwrap_or(packet.len());
            let zeros = packet[start..code].iter().rev().take_while(|byte| **byte == 0).count();
            code - zeros
        }
    }
}

fn start_code(packet: &[u8], from: usize) -> Option<usize> {
    packet.get(from..)?.windows(3).position(|window| window == [0, 0, 1]).map(|at| from + at)
}

/// The last message about the orientation in a supplemental unit without its header.
fn message(unit: &[u8], is_hevc: bool) -> Option<OrientationMessage> {
    let mut bytes = Vec::with_capacity(unit.len());
    for (index, byte) in unit.iter().enumerate() {
        // Put there so that nothing looks like a start code.
        let escape = *byte == 3 && index >= 2 && unit[index - 2..index] == [0, 0];
        bytes.extend((!escape).then_some(*byte));
    }
    let (mut rest, mut found) = (&bytes[..], None);
    while rest.len() > 2 {
        let (kind, after) = number(rest)?;
        let (length, after) = number(after)?;
        let payload = after.get(..length)?;
        if kind == ORIENTATION {
            found = orientation(payload, is_hevc).or(found);
        }
        rest = &after[length..];
    }
    found
}

/// A number as the sum of bytes, the last of which is not 255.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let ones = bytes.iter().take_while(|byte| **byte == 255).count();
    let last = bytes.get(ones)?;
    Some((255 * ones + usize::from(*last), &bytes[ones + 1..]))
}

fn orientation(payload: &[u8], is_hevc: bool) -> Option<OrientationMessage> {
    let bit = |index: usize| payload.get(index / 8).map(|byte| byte >> (7 - index % 8) & 1);
    if bit(0)? == 1 {
        return Some(OrientationMessage { turn: Turn::NONE, lasting: true });
    }
    let mut turn = Turn { transposed: false, mirrored: bit(1)? == 1, flipped: bit(2)? == 1 };
    let mut angle = 0_u32;
    for index in 3..19 {
        angle = angle << 1 | u32::from(bit(index)?);
    }
    for _ in 0..(angle + QUARTER / 2) / QUARTER % 4 {
        turn = Turn { transposed: !turn.transposed, mirrored: turn.flipped, flipped: !turn.mirrored };
    }
    // H.264 counts for how long, where a 1 is a nought; HEVC says whether.
    let lasting = bit(19).is_none_or(|bit| (bit == 1) == is_hevc);
    Some(OrientationMessage { turn, lasting })
}

/// A supplemental unit of H.264 that says how to turn pictures from here on.
fn unit(turn: Turn) -> Vec<u8> {
    let (horizontal, vertical, angle) =
        if turn.transposed { (!turn.flipped, turn.mirrored, QUARTER) } else { (turn.mirrored, turn.flipped, 0) };
    // Not cancelled, two flips, the angle, until further notice (010), nothing beyond, and the end.
    let bits = u32::from(horizontal) << 22 | u32::from(vertical) << 21 | angle << 5 | 0b0_1001;
    let [_, payload @ ..] = bits.to_be_bytes();
    [&[H264_SUPPLEMENTAL, 47, 3][..], &payload, &[0x80]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H264: AVCodecID = AVCodecID::AV_CODEC_ID_H264;
    const SPS: [u8; 5] = [0x67, 66, 0, 30, 1];
    const IDR: [u8; 4] = [0x65, 0x88, 0, 1];

    fn all() -> impl Iterator<Item = Turn> {
        (0..8).map(|bits| Turn { transposed: bits & 1 > 0, mirrored: bits & 2 > 0, flipped: bits & 4 > 0 })
    }

    fn packets() -> [(Vec<u8>, Framing); 2] {
        let stream = [&[0, 0, 0, 1][..], &SPS, &[0, 0, 1], &IDR].concat();
        let lengths = [&[0, 0, 0, 5][..], &SPS, &[0, 0, 0, 4], &IDR].concat();
        [(stream, Framing::StartCodes), (lengths, Framing::Lengths(4))]
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_lies_before_the_picture() {
        for (packet, framing) in packets() {
            assert_eq!(stated(&packet, H264, framing), None);
            for turn in all() {
                let told = with_message(&packet, turn, framing);
                assert_eq!(stated(&told, H264, framing), Some(OrientationMessage { turn, lasting: true }), "{turn:?}");
                assert!(told.ends_with(&IDR) && told[..9] == packet[..9], "{told:?}");
            }
        }
    }

    #[test]
    fn a_turn_lasts_until_another_message_or_a_key_picture_without_one() {
        let [(packet, framing), _] = packets();
        let turn = Turn { transposed: true, mirrored: true, flipped: false };
        let told = with_message(&packet, turn, framing);
        let mut orientation = Orientation::default();
        let mut follow = |packet: &[u8], is_key| orientation.follow(packet, is_key, H264, framing);
        assert_eq!([follow(&packet, true), follow(&told, true), follow(&packet, false)], [Turn::NONE, turn, turn]);
        assert_eq!([follow(&packet, true), follow(&packet, false)], [turn, Turn::NONE]);
        // Behind the key picture.
        assert_eq!([follow(&told, true), follow(&packet, true), follow(&told, false)], [turn; 3]);
        assert_eq!(follow(&packet, false), turn);
    }

    #[test]
    fn cut_and_hostile_bytes_are_passed_over() {
        let turn = Turn { transposed: true, mirrored: false, flipped: false };
        for (packet, framing) in packets() {
            let told = with_message(&packet, turn, framing);
            for length in 0..told.len() {
                let _ = stated(&told[..length], H264, framing);
                let _ = stated(&told[..length], AVCodecID::AV_CODEC_ID_HEVC, framing);
                let _ = with_message(&told[..length], turn, framing);
            }
            let _ = stated(&[255; 64], H264, framing);
            let _ = with_message(&[], turn, framing);
        }
    }
}
