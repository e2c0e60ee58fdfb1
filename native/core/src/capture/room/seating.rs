// SPDX-License-Identifier: Apache-2.0
//! Who of a room has a seat in the recording, under which uid, and with which tracks. Pure.
//!
//! A person is a participant, and a shared screen is another one. Seats go to those who came first, and whoever has one
//! keeps it. An identity that is a number is the uid; of any other it is the first four bytes of the SHA-256 of the
//! identity, as a big-endian number, and at a collision the next one that is free. A screen's is that of its owner's identity with
//! `/screen` behind it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::selection::RoomSelection;
use crate::capture::api::StreamKinds;
use crate::livekit::TrackSource;

/// As many as the layouts have regions for.
const MOST_SEATS: usize = 17;

pub const SCREEN: &str = "/screen";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatKey {
    pub identity: String,
    pub screen: bool,
}

/// A track that somebody offers, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub identity: String,
    pub track: String,
    pub source: TrackSource,
    pub is_video: bool,
}

/// A participant of the recording, and what is recorded of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracks {
    pub audio: Option<String>,
    pub video: Option<String>,
}

#[derive(Debug)]
pub struct Seating {
    kinds: StreamKinds,
    selection: RoomSelection,
    /// Whoever had a uid has it for good.
    uids: BTreeMap<SeatKey, u32>,
    taken: BTreeSet<u32>,
    /// Who has a seat, in the order of coming.
    seated: Vec<SeatKey>,
}

impl Seating {
    /// An empty room, of which the recorder itself has one uid.
    pub fn new(kinds: StreamKinds, selection: RoomSelection, recorder: u32) -> Self {
        Self { kinds, selection, uids: BTreeMap::new(), taken: BTreeSet::from([0, recorder]), seated: Vec::new() }
    }

    /// Who has a seat with these offers, in the order in which they were made; and who would, were there more seats.
    pub fn assign(&mut self, offers: &[Offer]) -> (Vec<(SeatKey, Tracks)>, Vec<SeatKey>) {
        let mut wanted: Vec<(SeatKey, Tracks)> = Vec::new();
        for offer in offers.iter().filter(|offer| self.wants(offer)) {
            let screen = matches!(offer.source, TrackSource::SourceScreenshare | TrackSource::SourceScreenshareAudio);
            let key = SeatKey { identity: offer.identity.clone(), screen };
            let index = wanted.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                wanted.push((key, Tracks::default()));
                wanted.len() - 1
            });
            let tracks = &mut wanted[index].1;
            let track = if offer.is_video { &mut tracks.video } else { &mut tracks.audio };
            // Of two cameras the first is recorded.
            track.get_or_insert_with(|| offer.track.clone());
        }
        self.seated.retain(|key| wanted.iter().any(|(other, _)| other == key));
        for (key, _) in &wanted {
            if self.seated.len() < MOST_SEATS && !self.seated.contains(key) {
                self.seated.push(key.clone());
            }
        }
        let (seated, waiting): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(key, _)| self.seated.contains(key));
        (seated, waiting.into_iter().map(|(key, _)| key).collect())
    }

    /// The uid of a seat, which it keeps.
    pub fn uid(&mut self, key: &SeatKey) -> u32 {
        if let Some(uid) = self.uids.get(key) {
            return *uid;
        }
        let mut uid = preferred(key);
        while self.taken.contains(&uid) {
            uid = uid.wrapping_add(1);
        }
        self.taken.insert(uid);
        self.uids.insert(key.clone(), uid);
        uid
    }

    fn wants(&self, offer: &Offer) -> bool {
        let of_kind = match self.kinds {
            StreamKinds::AudioVideo => true,
            StreamKinds::AudioOnly => !offer.is_video,
            StreamKinds::VideoOnly => offer.is_video,
        };
        of_kind && self.selection.wants(&offer.identity, offer.source, offer.is_video)
    }
}

fn preferred(key: &SeatKey) -> u32 {
    let number = key.identity.parse::<u32>().ok();
    // Only as it is written: "+7" and "007" are other identities than "7".
    let plain = number.filter(|number| *number != 0 && !key.screen && number.to_string() == key.identity);
    plain.unwrap_or_else(|| {
        let suffix = if key.screen { SCREEN } else { "" };
        let digest = Sha256::digest(format!("{}{suffix}", key.identity));
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackSource::{SourceCamera, SourceMicrophone, SourceScreenshare, SourceScreenshareAudio, SourceUnknown};

    fn offer(identity: &str, track: &str, source: TrackSource) -> Offer {
        let is_video = matches!(source, SourceCamera | SourceScreenshare);
        Offer { identity: identity.to_owned(), track: track.to_owned(), source, is_video }
    }

    fn key(identity: &str, screen: bool) -> SeatKey {
        SeatKey { identity: identity.to_owned(), screen }
    }

    fn tracks(audio: Option<&str>, video: Option<&str>) -> Tracks {
        Tracks { audio: audio.map(str::to_owned), video: video.map(str::to_owned) }
    }

    #[test]
    fn a_person_and_their_screen_are_two_and_of_two_cameras_the_first_is_recorded() {
        let offers = [
            offer("ann", "m", SourceMicrophone),
            offer("ann", "c", SourceCamera),
            offer("ann", "s", SourceScreenshare),
            offer("ann", "sa", SourceScreenshareAudio),
            offer("ann", "c2", SourceCamera),
            offer("bob", "x", SourceUnknown),
        ];
        let seats = |kinds| Seating::new(kinds, RoomSelection::default(), 9).assign(&offers).0;
        let (ann, screen, bob) = (key("ann", false), key("ann", true), key("bob", false));
        assert_eq!(
            seats(StreamKinds::AudioVideo),
            [
                (ann.clone(), tracks(Some("m"), Some("c"))),
                (screen.clone(), tracks(Some("sa"), Some("s"))),
                (bob.clone(), tracks(Some("x"), None)),
            ]
        );
        assert_eq!(
            seats(StreamKinds::AudioOnly),
            [
                (ann.clone(), tracks(Some("m"), None)),
                (screen.clone(), tracks(Some("sa"), None)),
                (bob, tracks(Some("x"), None))
            ]
        );
        assert_eq!(seats(StreamKinds::VideoOnly), [(ann, tracks(None, Some("c"))), (screen, tracks(None, Some("s")))]);
    }

    #[test]
    fn whoever_comes_beyond_the_seats_waits_until_somebody_leaves() {
        let mut seating = Seating::new(StreamKinds::AudioVideo, RoomSelection::default(), 9);
        let mut offers: Vec<Offer> = (0..20).map(|index| offer(&format!("p{index}"), "m", SourceMicrophone)).collect();
        let names = |keys: Vec<SeatKey>| keys.into_iter().map(|key| key.identity).collect::<Vec<_>>();
        let (seated, waiting) = seating.assign(&offers);
        assert_eq!(
            (seated.len(), names(waiting)),
            (MOST_SEATS, vec!["p17".to_owned(), "p18".to_owned(), "p19".to_owned()])
        );
        offers.remove(3);
        let (seated, waiting) = seating.assign(&offers);
        assert_eq!(
            (seated.last().map(|(key, _)| key.identity.clone()), names(waiting)),
            (Some("p17".to_owned()), vec!["p18".to_owned(), "p19".to_owned()])
        );
        offers.insert(0, offer("p3", "m", SourceMicrophone));
        assert_eq!(names(seating.assign(&offers).1), ["p3", "p18", "p19"], "who has a seat keeps it");
    }

    #[test]
    fn an_identity_has_one_uid_its_number_or_a_hash_or_the_next_that_is_free() {
        // printf ann | sha256sum
        let ann = 0x4991_5e0d;
        for (identities, expected) in [
            (vec![("7", false), ("ann", false), ("7", false)], vec![7, ann, 7]),
            (vec![(&*ann.to_string(), false), ("ann", false)], vec![ann, ann + 1]),
            (vec![("9", false), ("10", false)], vec![10, 11]),
            (vec![("0", false)], vec![preferred(&key("0", false))]),
        ] {
            let mut seating = Seating::new(StreamKinds::AudioVideo, RoomSelection::default(), 9);
            let uids: Vec<u32> =
                identities.iter().map(|(identity, screen)| seating.uid(&key(identity, *screen))).collect();
            assert_eq!(uids, expected, "{identities:?}");
        }
        assert_ne!(preferred(&key("7", true)), 7);
        assert_ne!(preferred(&key("007", false)), 7);
        assert_ne!(preferred(&key("4294967296", false)), 0);
    }
}
