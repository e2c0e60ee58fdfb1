// SPDX-License-Identifier: Apache-2.0
//! Who is in the channel now, in order of joining.

use std::sync::{Arc, Mutex};

use super::clock::{lock, Nanos};
use super::feed::Feed;

#[derive(Clone)]
pub struct Member {
    pub uid: u32,
    pub feed: Arc<Feed>,
    pub audio: bool,
    pub video: bool,
}

#[derive(Default)]
pub struct Roster {
    state: Mutex<State>,
    /// Held from a joining until it was told, so that all hear of the order that the layout shows.
    joining: Mutex<()>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    first_due: Option<Nanos>,
}

impl Roster {
    /// Adds a participant behind all others, and tells of it; its first media is due at `due`.
    pub fn join(&self, member: Member, due: Nanos, tell: impl FnOnce()) {
        let joining = lock(&self.joining);
        let mut state = lock(&self.state);
        state.first_due.get_or_insert(due);
        state.members.push(member);
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
        lock(&self.state).members.retain(|member| member.uid != uid);
    }

    pub fn members(&self) -> Vec<Member> {
        lock(&self.state).members.clone()
    }

    /// When the first media that was ever seen is due.
    pub fn first_due(&self) -> Option<Nanos> {
        lock(&self.state).first_due
    }
}
