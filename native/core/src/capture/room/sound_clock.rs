// SPDX-License-Identifier: Apache-2.0
//! When a room's sound was spoken, by when it comes and how long it was held back. Pure.
//!
//! Pictures bear the time at which they are to be shown; sound bears none. It comes in blocks, each a block's length after
//! the one before it, out of a buffer against the network's jitter whose length changes: what it held the sound
//! back by is known from the client library's figures, and is taken off. Blocks that come late for want of processor time say
//! nothing of when they were spoken; so the earliest of a while decides.

use super::held_back::{HeldBack, Lately};
use crate::capture::clock::{Nanos, MILLISECOND, SECOND};

/// How much sound is sent at once: it comes when the last of it was spoken.
const PACKET: Nanos = 20 * MILLISECOND;

/// Further from its line, sound begins anew.
const JUMP: Nanos = 150 * MILLISECOND;

/// How long the earliest block is looked for.
const WINDOW: Nanos = 2 * SECOND;

/// How far the line moves at a time.
const STEP: Nanos = 5 * MILLISECOND;

#[derive(Debug, Default)]
pub struct SoundClock {
    /// When the next block is expected to come.
    next: Option<Nanos>,
    /// By how much the earliest block of the window was late, and since when it is looked for.
    earliest: Option<(Nanos, Nanos)>,
    /// The library plays what it holds faster or slower, so that what it held lately is what it holds; after a packet that came
    /// late that is at once much more.
    held: HeldBack<1>,
    waited: Lately,
}

impl SoundClock {
    /// When the block was spoken that came at `now`, as long as `length`.
    pub fn spoken(&mut self, now: Nanos, length: Nanos) -> Nanos {
        let next = self.next.filter(|next| (now - next).abs() <= JUMP).unwrap_or_else(|| {
            self.earliest = None;
            now
        });
        let late = now - next;
        let (least, since) = self.earliest.map_or((late, now), |(least, since)| (least.min(late), since));
        let mut line = next;
        if now - since >= WINDOW || late < -STEP {
            line += if late < -STEP { late } else { least.clamp(-STEP, STEP) };
            self.earliest = None;
        } else {
            self.earliest = Some((least, since));
        }
        self.next = Some(line + length);
        line - self.held.get() - PACKET
    }

    /// The client library says how long the samples that were played so far were held back, in sum, and how many they were.
    pub fn figures(&mut self, waited: f64, emitted: u64) {
        if let Some(held) = self.waited.of(waited, emitted) {
            self.held.note(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::room::held_back::USUAL;

    const BLOCK: Nanos = 10 * MILLISECOND;

    /// When blocks were spoken that came so much after they should have, in milliseconds.
    fn spoken(late: impl Iterator<Item = Nanos>) -> Vec<Nanos> {
        let mut clock = SoundClock::default();
        late.zip(0..)
            .map(|(late, index)| {
                clock.spoken(index * BLOCK + late * MILLISECOND, BLOCK) - index * BLOCK + USUAL + PACKET
            })
            .collect()
    }

    #[test]
    fn blocks_that_come_late_do_not_move_the_line_and_one_that_is_early_does() {
        let found = spoken((0..1000).map(|index| [0, 3, 9, 40][index % 4]));
        assert!(found.iter().all(|off| *off == 0), "{found:?}");
        let found = spoken((0..1000).map(|index: Nanos| if index < 100 { 20 } else { index % 3 }));
        assert!(
            found[120..].iter().all(|off| *off <= 2 * MILLISECOND),
            "who began late is put right with the first early one"
        );
    }

    #[test]
    fn a_clock_that_drifts_is_followed_in_small_steps_and_a_hole_at_once() {
        let found = spoken((0..6000).map(|index| index / 250));
        assert!(found.windows(2).all(|pair| (pair[1] - pair[0]).abs() <= STEP));
        assert!(found.iter().zip(0..).all(|(off, index)| (off - index / 250 * MILLISECOND).abs() <= 10 * MILLISECOND));
        let found = spoken((0..400).map(|index| if index < 200 { 0 } else { 500 }));
        assert_eq!((found[199], found[200]), (0, 500 * MILLISECOND));
    }

    #[test]
    fn what_was_held_back_is_taken_off_and_the_length_of_a_packet() {
        let mut clock = SoundClock::default();
        clock.figures(0.08 * 48_000.0, 48_000);
        assert_eq!(clock.spoken(SECOND, BLOCK), 900 * MILLISECOND);
    }
}
