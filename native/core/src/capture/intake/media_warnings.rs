// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a participant's media is told once, however often it happens and however often the source comes back.

use std::sync::Mutex;

use crate::capture::api::TrackKind;
use crate::capture::clock::{lock, Nanos, SECOND};

/// What was told so long ago may be told again, unless its track has been lost ever since.
const AGAIN: Nanos = 600 * SECOND;

/// A source that finds more ways than these to be wrong within that time is not told of any more.
const MOST: usize = 16;

#[derive(Default)]
pub struct MediaWarnings(Mutex<Vec<Warning>>);

struct Warning {
    track: TrackKind,
    words: String,
    at: Nanos,
    /// The track is lost for this, and nothing of it was decoded since.
    standing: bool,
}

impl MediaWarnings {
    /// Whether damage is to be told; it counts as told then.
    pub fn is_news(&self, track: TrackKind, words: &str, now: Nanos) -> bool {
        self.note(Warning { track, words: words.to_owned(), at: now, standing: false })
    }

    /// The same of a track's loss, which is no news again before something of the track was decoded.
    pub fn is_new_loss(&self, track: TrackKind, words: &str, now: Nanos) -> bool {
        self.note(Warning { track, words: words.to_owned(), at: now, standing: true })
    }

    /// Something of the track was decoded. True if anything was told of it.
    pub fn heal(&self, track: TrackKind) -> bool {
        let mut told = lock(&self.0);
        let warnings = told.iter_mut().filter(|warning| warning.track == track);
        warnings.map(|warning| warning.standing = false).count() > 0
    }

    fn note(&self, new: Warning) -> bool {
        let mut told = lock(&self.0);
        told.retain(|warning| warning.standing || new.at - warning.at < AGAIN);
        let known = |warning: &&mut Warning| warning.track == new.track && warning.words == new.words;
        if let Some(warning) = told.iter_mut().find(known) {
            warning.standing |= new.standing;
            return false;
        }
        let news = told.len() < MOST;
        if news {
            told.push(new);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_is_told_once_in_ten_minutes_and_only_so_many_of_them() {
        let warnings = MediaWarnings::default();
        assert!(warnings.is_news(TrackKind::Audio, "noise", 0));
        assert!(!warnings.is_news(TrackKind::Audio, "noise", AGAIN - 1));
        assert!(warnings.is_news(TrackKind::Video, "noise", 0));
        assert!(warnings.is_news(TrackKind::Audio, "noise", AGAIN));
        let told = (0..1000).filter(|size| warnings.is_news(TrackKind::Video, &size.to_string(), AGAIN)).count();
        assert!(told < MOST, "{told}");
    }

    #[test]
    fn a_track_s_loss_is_told_once_until_something_of_it_is_decoded() {
        let warnings = MediaWarnings::default();
        assert!(warnings.is_new_loss(TrackKind::Video, "no decoder", 0));
        assert!(!warnings.is_new_loss(TrackKind::Video, "no decoder", 9 * AGAIN));
        assert!(warnings.is_new_loss(TrackKind::Video, "too small", 9 * AGAIN));
        warnings.heal(TrackKind::Audio);
        assert!(!warnings.is_new_loss(TrackKind::Video, "no decoder", 20 * AGAIN));
        warnings.heal(TrackKind::Video);
        assert!(warnings.is_new_loss(TrackKind::Video, "no decoder", 20 * AGAIN));
        warnings.heal(TrackKind::Video);
        assert!(!warnings.is_new_loss(TrackKind::Video, "no decoder", 21 * AGAIN - 1));
    }
}
