// SPDX-License-Identifier: Apache-2.0
//! Packets that were read before their time, because those of the other track lie behind them in the stream.
//!
//! They wait compressed: a picture of a packet takes a hundred times its memory.

use std::collections::VecDeque;

use crate::capture::api::TrackKind;
use crate::capture::av::frame::Packet;
use crate::capture::clock::Nanos;
use crate::capture::timeline::Due;

/// More bytes than this do not wait, even where a track has not shown up by then.
const MOST_BYTES: usize = 16 << 20;

#[derive(Default)]
pub struct ReadAhead {
    tracks: [VecDeque<(Due, Packet)>; 2],
    bytes: usize,
}

impl ReadAhead {
    pub fn push(&mut self, track: TrackKind, due: Due, packet: Packet) {
        self.bytes += packet.footprint();
        self.tracks[track as usize].push_back((due, packet));
    }

    /// Takes the packet that is due first, if that is not after `until`. Within a track the order stays as it was.
    pub fn pop(&mut self, until: Nanos) -> Option<(TrackKind, Due, Packet)> {
        let (track, _) = self.first().filter(|(_, due)| *due <= until)?;
        let (due, packet) = self.tracks[track as usize].pop_front()?;
        self.bytes -= packet.footprint();
        Some((track, due, packet))
    }

    pub fn next_due(&self) -> Option<Nanos> {
        self.first().map(|(_, due)| due)
    }

    pub fn is_full(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    fn first(&self) -> Option<(TrackKind, Nanos)> {
        let front = |track: TrackKind| self.tracks[track as usize].front().map(|(due, _)| (track, due.decode));
        [front(TrackKind::Audio), front(TrackKind::Video)].into_iter().flatten().min_by_key(|(_, due)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_tiny_packets_does_not_fill_the_memory() {
        let mut ahead = ReadAhead::default();
        let most = (1..100_000).find(|decode| {
            let due = Due { decode: *decode, present: None };
            ahead.push(TrackKind::Video, due, Packet::empty().expect("a packet"));
            ahead.is_full()
        });
        assert!(most.is_some_and(|count| (10_000..50_000).contains(&count)), "{most:?}");
        while ahead.pop(Nanos::MAX).is_some() {}
        assert!(!ahead.is_full());
    }

    #[test]
    fn packets_come_out_by_the_time_they_are_due_and_in_order_within_a_track() {
        let mut ahead = ReadAhead::default();
        for (track, decode) in [
            (TrackKind::Video, 10),
            (TrackKind::Video, 30),
            (TrackKind::Video, 20),
            (TrackKind::Audio, 15),
            (TrackKind::Audio, 40),
        ] {
            ahead.push(track, Due { decode, present: None }, Packet::empty().expect("a packet"));
        }
        let mut order = Vec::new();
        while let Some((track, due, _)) = ahead.pop(30) {
            order.push((track, due.decode));
        }
        let expected = [(TrackKind::Video, 10), (TrackKind::Audio, 15), (TrackKind::Video, 30), (TrackKind::Video, 20)];
        assert_eq!(order, expected);
        assert_eq!(ahead.next_due(), Some(40));
    }
}
