// SPDX-License-Identifier: Apache-2.0
//! Holds pictures back until all that are presented before them are there, so that no end leaves a hole before its last.
//!
//! Encoders send a picture before those that refer to it, which are presented earlier. How much later than its decoding a
//! key frame is presented tells how far a stream reorders.

use std::collections::VecDeque;

use super::timeline::Placed;
use crate::capture::clock::Nanos;

pub struct ReorderBuffer<T> {
    delay: Nanos,
    held: VecDeque<(Nanos, T)>,
    decoded: Nanos,
}

impl<T> Default for ReorderBuffer<T> {
    fn default() -> Self {
        Self { delay: 0, held: VecDeque::new(), decoded: Nanos::MIN }
    }
}

impl<T> ReorderBuffer<T> {
    pub fn push(&mut self, placed: Placed, key: bool, picture: T) {
        if key {
            self.delay = placed.present - placed.decode;
        }
        // Stamps may be rounded.
        self.held.push_back((placed.present - self.delay - placed.duration / 2, picture));
        self.decoded = placed.decode;
    }

    /// The next picture that leaves no hole before it.
    pub fn next(&mut self) -> Option<T> {
        let complete = self.held.front().is_some_and(|(due, _)| *due <= self.decoded);
        complete.then(|| self.held.pop_front()).flatten().map(|(_, picture)| picture)
    }

    /// What is held, when nothing more will come.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.held.drain(..).map(|(_, picture)| picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::clock::MILLISECOND;

    const FRAME: Nanos = 40 * MILLISECOND;

    /// What comes out after each picture, for pictures by their place in the presentation, decoded one after the other.
    fn ordered(delay: Nanos, positions: &[Nanos]) -> (Vec<Vec<Nanos>>, Vec<Nanos>) {
        let mut order = ReorderBuffer::default();
        let mut steps = Vec::new();
        for (index, position) in (0..).zip(positions) {
            let placed = Placed { decode: (index - delay) * FRAME, present: position * FRAME, duration: FRAME };
            order.push(placed, index == 0, *position);
            steps.push(std::iter::from_fn(|| order.next()).collect());
        }
        let left = order.drain().collect();
        (steps, left)
    }

    #[test]
    fn pictures_in_order_are_held_by_nothing() {
        let (steps, left) = ordered(0, &[0, 1, 2]);
        assert_eq!((steps, left), (vec![vec![0], vec![1], vec![2]], vec![]));
    }

    #[test]
    fn a_picture_waits_for_those_that_are_presented_before_it() {
        let (steps, left) = ordered(1, &[0, 3, 1, 2, 6, 4]);
        assert_eq!(steps, [vec![0], vec![], vec![], vec![3, 1, 2], vec![], vec![]]);
        assert_eq!(left, [6, 4], "5 has not come, so 6 would leave a hole");
    }
}
