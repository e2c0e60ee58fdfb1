// SPDX-License-Identifier: Apache-2.0
//! Who is in the channel now, in the order in which they stand in layouts.

use std::sync::{Arc, Mutex};

use super::clock::{lock, Nanos, SECOND};
use super::feed::Feed;

/// Who comes so soon after the first was there as well: which connection is quicker says nothing.
const TOGETHER: Nanos = SECOND;

#[derive(Clone)]
pub struct Member {
    pub uid: u32,
    /// By what the channel tells them apart, where that is no number.
    pub identity: Option<Arc<str>>,
    pub feed: Arc<Feed>,
    pub audio: bool,
    pub video: bool,
    /// It is what somebody shows of a screen, and no picture of themselves.
    pub screen: bool,
}

#[cfg(test)]
impl Member {
    /// Somebody with picture and sound.
    pub fn somebody(uid: u32) -> Self {
        Self { uid, identity: None, feed: Arc::new(Feed::new(1)), audio: true, video: true, screen: false }
    }
}

pub struct Roster {
    state: Mutex<ChannelState>,
    /// Held from a joining until it was told, so that all hear of the order that the layout shows.
    joining: Mutex<()>,
}

#[derive(Default)]
struct ChannelState {
    /// The participants in the order of the configuration.
    listed: Vec<u32>,
    members: Vec<Member>,
    /// When the first came into the empty channel, and how many at the front have come together since.
    opening: Nanos,
    together: usize,
    first_due: Option<Nanos>,
}

impl Roster {
    /// A channel of these participants, of whom nobody is there yet.
    pub fn of(listed: impl Iterator<Item = u32>) -> Self {
        let state = ChannelState { listed: listed.collect(), ..ChannelState::default() };
        Self { state: Mutex::new(state), joining: Mutex::default() }
    }

    /// The configuration has these from now on. Those who are there stand as they do.
    pub fn list(&self, listed: impl Iterator<Item = u32>) {
        lock(&self.state).listed = listed.collect();
    }

    /// Adds a participant at `now`, and tells of it; its first media is due at `due`. Those who come with the first stand in
    /// the order of the configuration, the others behind them in order of joining.
    pub fn join(&self, member: Member, (now, due): (Nanos, Nanos), tell: impl FnOnce()) {
        let joining = lock(&self.joining);
        let mut state = lock(&self.state);
        state.first_due.get_or_insert(due);
        state.add(member, now);
        // The tick does not wait for who is told.
        drop(state);
        tell();
        drop(joining);
    }

    pub fn change(&self, uid: u32, audio: bool, video: bool) {
        let mut state = lock(&self.state);
        for member in state.members.iter_mut().filter(|member| member.uid == uid) {
            (member.audio, member.video) = (audio, video);
        }
    }

    pub fn leave(&self, uid: u32) {
        let mut state = lock(&self.state);
        let Some(index) = state.members.iter().position(|member| member.uid == uid) else { return };
        state.members.remove(index);
        state.together -= usize::from(index < state.together);
    }

    pub fn members(&self) -> Vec<Member> {
        lock(&self.state).members.clone()
    }

    /// When the first media that was ever seen is due.
    pub fn first_due(&self) -> Option<Nanos> {
        lock(&self.state).first_due
    }
}

impl ChannelState {
    fn add(&mut self, member: Member, now: Nanos) {
        let listed = |uid| self.listed.iter().position(|listed| *listed == uid);
        if self.members.is_empty() {
            (self.opening, self.together) = (now, 0);
        }
        if now - self.opening > TOGETHER {
            self.members.push(member);
            return;
        }
        let place = self.members[..self.together].partition_point(|other| listed(other.uid) <= listed(member.uid));
        self.members.insert(place, member);
        self.together += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::clock::MILLISECOND;

    /// Who stands where after these events: who, and when they came, or nothing as they left.
    fn order(events: &[(u32, Option<Nanos>)]) -> Vec<u32> {
        let roster = Roster::of([7, 5, 9, 3].into_iter());
        for (uid, at) in events {
            match at {
                Some(at) => {
                    roster.join(Member::somebody(*uid), (at * MILLISECOND, at * MILLISECOND), || ());
                }
                None => roster.leave(*uid),
            }
        }
        roster.members().iter().map(|member| member.uid).collect()
    }

    #[test]
    fn those_who_come_within_a_second_of_the_first_stand_as_they_are_listed() {
        assert_eq!(order(&[(9, Some(4000)), (5, Some(4300)), (7, Some(5000))]), [7, 5, 9]);
        assert_eq!(order(&[(9, Some(0)), (5, Some(900)), (7, Some(1001)), (3, Some(1500))]), [5, 9, 7, 3]);
        assert_eq!(order(&[(9, Some(0)), (3, Some(1500)), (7, Some(1400))]), [9, 3, 7], "later ones by joining alone");
        assert_eq!(order(&[(20, Some(0)), (10, Some(100)), (30, Some(200))]), [20, 10, 30], "nobody is listed");
    }

    #[test]
    fn who_comes_back_stands_last_and_an_empty_channel_begins_anew() {
        let together = [(9, Some(0)), (5, Some(100)), (7, Some(200))];
        assert_eq!(order(&[&together[..], &[(5, None), (5, Some(8000))]].concat()), [7, 9, 5]);
        assert_eq!(order(&[&together[..], &[(5, None), (5, Some(300))]].concat()), [7, 5, 9]);
        let emptied = [(9, Some(0)), (9, None), (3, Some(8000)), (5, Some(8100)), (9, Some(9200))];
        assert_eq!(order(&emptied), [5, 3, 9]);
    }
}
