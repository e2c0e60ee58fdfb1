// SPDX-License-Identifier: Apache-2.0
//! What of a room is wanted, as the document says it: by who sends it, and by what it is. Pure.

use serde::Deserialize;

use crate::livekit::TrackSource;

/// What people send in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum RoomMedia {
    Camera,
    Microphone,
    ScreenShare,
    ScreenShareAudio,
}

/// Whose media is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomParticipants {
    /// Identities; none is everybody.
    pub include: Vec<String>,
    /// Identities, which are not recorded even where they are included.
    pub exclude: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomSelection {
    pub participants: RoomParticipants,
    /// None is everything.
    pub sources: Vec<RoomMedia>,
}

impl RoomMedia {
    /// A track of which its publisher does not say what it is, is what people send most.
    fn of(source: TrackSource, is_video: bool) -> Self {
        match (source, is_video) {
            (TrackSource::SourceScreenshare, _) => Self::ScreenShare,
            (TrackSource::SourceScreenshareAudio, _) => Self::ScreenShareAudio,
            (TrackSource::SourceCamera, _) | (TrackSource::SourceUnknown, true) => Self::Camera,
            (TrackSource::SourceMicrophone, _) | (TrackSource::SourceUnknown, false) => Self::Microphone,
        }
    }
}

impl RoomSelection {
    /// Whether such a track of somebody is recorded.
    #[must_use]
    pub fn wants(&self, identity: &str, source: TrackSource, is_video: bool) -> bool {
        let RoomParticipants { include, exclude } = &self.participants;
        let among = |identities: &[String]| identities.iter().any(|other| other == identity);
        (include.is_empty() || among(include))
            && !among(exclude)
            && (self.sources.is_empty() || self.sources.contains(&RoomMedia::of(source, is_video)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RoomMedia::{Camera, Microphone, ScreenShare, ScreenShareAudio};
    use TrackSource::{SourceCamera, SourceMicrophone, SourceScreenshare, SourceScreenshareAudio, SourceUnknown};

    #[test]
    fn who_is_excluded_or_not_included_sends_nothing_and_nothing_said_is_everybody() {
        for (include, exclude, expected) in [
            (&[][..], &[][..], [true, true, true]),
            (&["ann"], &[], [true, false, false]),
            (&["ann", "bob"], &["bob"], [true, false, false]),
            (&[], &["ann"], [false, true, true]),
        ] {
            let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            let participants = RoomParticipants { include: names(include), exclude: names(exclude) };
            let selection = RoomSelection { participants, sources: Vec::new() };
            let found = ["ann", "bob", "Ann"].map(|identity| selection.wants(identity, SourceCamera, true));
            assert_eq!(found, expected, "{include:?} {exclude:?}");
        }
    }

    #[test]
    fn only_sources_that_are_named_are_recorded() {
        let tracks = [
            (SourceCamera, true),
            (SourceMicrophone, false),
            (SourceScreenshare, true),
            (SourceScreenshareAudio, false),
            (SourceUnknown, true),
            (SourceUnknown, false),
        ];
        for (sources, expected) in [
            (vec![], [true; 6]),
            (vec![Camera], [true, false, false, false, true, false]),
            (vec![Microphone], [false, true, false, false, false, true]),
            (vec![ScreenShare, ScreenShareAudio], [false, false, true, true, false, false]),
        ] {
            let selection = RoomSelection { sources, ..RoomSelection::default() };
            assert_eq!(tracks.map(|(source, is_video)| selection.wants("ann", source, is_video)), expected);
        }
    }
}
