// SPDX-License-Identifier: Apache-2.0
//! Brings the packets of two tracks into one order of decoding, as sources interleave them loosely.

use std::collections::VecDeque;

use crate::capture::api::TrackKind;
use crate::capture::clock::{Nanos, SECOND};

/// So much of one track is held while the other may still have something before it.
const PATIENCE: Nanos = 2 * SECOND;

/// So much of the other track is read before a packet that begins something new, as it may do so, too.
const FORESIGHT: Nanos = SECOND / 2;

/// More packets than any stream has in that time.
const MOST: usize = 2048;

pub struct Interleaver<T> {
    queues: [VecDeque<(Nanos, T)>; 2],
}

impl<T> Default for Interleaver<T> {
    fn default() -> Self {
        Self { queues: [VecDeque::new(), VecDeque::new()] }
    }
}

impl<T> Interleaver<T> {
    pub fn push(&mut self, track: TrackKind, decode: Nanos, packet: T) {
        self.queues[track as usize].push_back((decode, packet));
    }

    /// Whether packets of the track wait.
    pub fn holds(&self, track: TrackKind) -> bool {
        !self.queues[track as usize].is_empty()
    }

    /// The next packet, once nothing can come before it or it has waited for long enough. `is_new` tells of packets that
    /// begin something new.
    pub fn next(&mut self, is_new: impl Fn(&T) -> bool) -> Option<T> {
        let ripe = |queue: &VecDeque<(Nanos, T)>| match (queue.front(), queue.back()) {
            (Some((first, _)), Some((last, _))) => last - first >= PATIENCE || queue.len() > MOST,
            _ => false,
        };
        let track = self.first();
        let (at, packet) = self.queues[track as usize].front()?;
        let foresight = if is_new(packet) { FORESIGHT } else { 0 };
        let other = if track == TrackKind::Video { TrackKind::Audio } else { TrackKind::Video };
        let last_of_other = self.queues[other as usize].back().map(|(last, _)| *last);
        let complete = last_of_other.is_some_and(|last| last - at >= foresight);
        (complete || self.queues.iter().any(ripe)).then(|| self.drain()).flatten()
    }

    /// The next packet of those that are here.
    pub fn drain(&mut self) -> Option<T> {
        self.queues[self.first() as usize].pop_front().map(|(_, packet)| packet)
    }

    /// The next packet of one track, if it is one of these.
    pub fn next_if(&mut self, track: TrackKind, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let queue = &mut self.queues[track as usize];
        queue.front().is_some_and(|(_, packet)| wanted(packet)).then(|| queue.pop_front()).flatten().map(|(_, it)| it)
    }

    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
    }

    fn first(&self) -> TrackKind {
        let [audio, video] = &self.queues;
        match (audio.front(), video.front()) {
            (Some((audio, _)), Some((video, _))) if audio < video => TrackKind::Audio,
            (Some(_), None) => TrackKind::Audio,
            _ => TrackKind::Video,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(interleaver: &mut Interleaver<Nanos>) -> Vec<Nanos> {
        std::iter::from_fn(|| interleaver.next(|_| false)).collect()
    }

    #[test]
    fn packets_come_in_the_order_of_decoding() {
        let mut interleaver = Interleaver::default();
        for at in [0, 10, 20] {
            interleaver.push(TrackKind::Video, at, at);
        }
        assert_eq!(ready(&mut interleaver), Vec::<Nanos>::new(), "sound may still come before");
        for at in [1, 11] {
            interleaver.push(TrackKind::Audio, at, at);
        }
        assert_eq!(ready(&mut interleaver), [0, 1, 10, 11]);
        assert_eq!(interleaver.drain(), Some(20));
    }

    #[test]
    fn a_track_that_is_alone_waits_only_so_long() {
        let mut interleaver = Interleaver::default();
        for second in 0..=5 {
            interleaver.push(TrackKind::Audio, second * SECOND, second);
        }
        assert_eq!(ready(&mut interleaver), [0, 1, 2, 3]);
    }

    #[test]
    fn before_something_new_more_of_the_other_track_is_read() {
        let mut interleaver = Interleaver::default();
        interleaver.push(TrackKind::Video, 0, 0);
        interleaver.push(TrackKind::Audio, 1, 1);
        assert_eq!(interleaver.next(|at| *at == 0), None);
        interleaver.push(TrackKind::Audio, FORESIGHT, 2);
        assert_eq!(interleaver.next(|at| *at == 0), Some(0));
        assert_eq!(interleaver.next_if(TrackKind::Audio, |at| *at == 1), Some(1));
        assert_eq!(interleaver.next_if(TrackKind::Audio, |at| *at == 1), None);
    }
}
