// SPDX-License-Identifier: Apache-2.0
//! Changes the time stamps in an MPEG-TS, as broken senders would send them and no muxer would write them.

use std::collections::HashMap;

const PACKET: usize = 188;

/// The time stamps' range; they begin again at zero after it.
pub const WRAP: i64 = 1 << 33;

/// A unit of media (a picture, or the blocks of sound sent together) with its time stamp.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    pub video: bool,
    /// Its number within its stream.
    pub index: usize,
    pub ticks: i64,
}

/// Replaces the time stamps of each unit by what `change` makes of them; decoding times move by as much.
pub fn restamp(stream: &mut [u8], change: impl Fn(Unit) -> i64) {
    let mut counts: HashMap<u8, usize> = HashMap::new();
    for packet in stream.chunks_exact_mut(PACKET) {
        let begins = packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0;
        let adaptation = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
        let payload = &mut packet[4 + adaptation..];
        if !begins || payload.len() < 14 || payload[..3] != [0, 0, 1] || payload[7] & 0x80 == 0 {
            continue;
        }
        let count = counts.entry(payload[3]).or_default();
        let old = read(&payload[9..14]);
        let new = change(Unit { video: payload[3] & 0xf0 == 0xe0, index: *count, ticks: old });
        *count += 1;
        write(&mut payload[9..14], new);
        if payload[7] & 0x40 != 0 {
            let decode = read(&payload[14..19]);
            write(&mut payload[14..19], decode + new - old);
        }
    }
}

/// Three groups of bits, each followed by a marker bit.
fn read(field: &[u8]) -> i64 {
    let byte = |index: usize| i64::from(field[index]);
    ((byte(0) >> 1) & 7) << 30 | (byte(1) << 8 | byte(2)) >> 1 << 15 | (byte(3) << 8 | byte(4)) >> 1
}

fn write(field: &mut [u8], ticks: i64) {
    let ticks = ticks.rem_euclid(WRAP);
    let low = |value: i64| u8::try_from(value & 0xff).unwrap();
    field[0] = (field[0] & 0xf1) | low((ticks >> 30) << 1);
    field[1] = low(ticks >> 22);
    field[2] = low((ticks >> 15) << 1) | 1;
    field[3] = low(ticks >> 7);
    field[4] = low(ticks << 1) | 1;
}
