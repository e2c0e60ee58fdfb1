// SPDX-License-Identifier: Apache-2.0
//! When a room's pictures were sent, by when the client library would show them. Pure.
//!
//! The library knows by their RTP time stamps how far apart pictures are, and would show each as much later as it takes for
//! nearly all of them to come and to be decoded. How much that is differs from track to track, and has nothing to do with how
//! long the same person's sound is held back; so it is taken off. It is what pictures were held back before they were decoded,
//! and took to be decoded, by the library's figures, and how long before its time the library then gives each to us, or after it
//! where the network was slower than it had thought.

use super::held_back::{HeldBack, Lately};
use crate::capture::clock::Nanos;

#[derive(Debug, Default)]
pub struct PictureClock {
    /// A key picture that is waited for, or a busy processor, makes a single second tell nothing.
    held: HeldBack<5>,
    waited: Lately,
    decoded: Lately,
    /// By how much the pictures since the last figures came before their time, in sum, and how many they were.
    early: (Nanos, Nanos),
}

impl PictureClock {
    /// When the picture was sent that came at `now` and is to be shown at `shown`.
    pub fn sent(&mut self, shown: Nanos, now: Nanos) -> Nanos {
        let (sum, count) = self.early;
        self.early = (sum + shown - now, count + 1);
        shown - self.held.get()
    }

    /// The client library says for how long it held pictures back and how long it took to decode them so far, in sum, and how
    /// many they were.
    pub fn figures(&mut self, waited: (f64, u64), decoded: (f64, u64)) {
        let (sum, count) = std::mem::take(&mut self.early);
        let (waited, decoded) = (self.waited.of(waited.0, waited.1), self.decoded.of(decoded.0, decoded.1));
        if let (Some(waited), Some(early)) = (waited, sum.checked_div(count)) {
            self.held.note(waited + decoded.unwrap_or(0) + early);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::clock::MILLISECOND;
    use crate::capture::room::held_back::USUAL;

    /// By how many milliseconds the picture was sent before it is to be shown, when one a second before that was held back and
    /// decoded for so long came so long before its time.
    fn taken_off(waited: f64, decoded: f64, early: Nanos) -> Nanos {
        let mut clock = PictureClock::default();
        for second in 1..=3_u32 {
            clock.sent(early * MILLISECOND, 0);
            let total = |each: f64| (each * f64::from(second), u64::from(second));
            clock.figures(total(waited), total(decoded));
        }
        -clock.sent(0, 0) / MILLISECOND
    }

    #[test]
    fn what_pictures_are_held_back_for_is_taken_off() {
        assert_eq!(-PictureClock::default().sent(0, 0), USUAL);
        assert_eq!(taken_off(0.125, 0.0625, 10), 197);
        assert_eq!(taken_off(0.125, 0.0, -60), 65, "who comes late was to be shown before");
    }
}
