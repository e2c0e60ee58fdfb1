// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a participant's media is told once, however often it happens and however often the source comes back.

use std::sync::Mutex;

use crate::capture::api::TrackKind;
use crate::capture::clock::{lock, Nanos, SECOND};

/// What was told so long ago may be told again.
const AGAIN: Nanos = 600 * SECOND;

/// A source that finds more ways than these to be wrong within that time is not told of any more.
const MOST: usize = 16;

#[derive(Default)]
pub struct MediaWarnings(Mutex<Vec<(TrackKind, String, Nanos)>>);

impl MediaWarnings {
    /// Whether this is to be told; it counts as told then.
    pub fn is_news(&self, track: TrackKind, words: &str, now: Nanos) -> bool {
        let mut told = lock(&self.0);
        told.retain(|(_, _, at)| now - at < AGAIN);
        let news = told.len() < MOST && !told.iter().any(|(of, known, _)| *of == track && known == words);
        if news {
            told.push((track, words.to_owned(), now));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_is_told_once_in_ten_minutes_and_only_so_many_of_them() {
        let media_warnings = MediaWarnings::default();
        assert!(media_warnings.is_news(TrackKind::Audio, "noise", 0));
        assert!(!media_warnings.is_news(TrackKind::Audio, "noise", AGAIN - 1));
        assert!(media_warnings.is_news(TrackKind::Video, "noise", 0));
        assert!(media_warnings.is_news(TrackKind::Audio, "noise", AGAIN));
        let told = (0..1000).filter(|size| media_warnings.is_news(TrackKind::Video, &size.to_string(), AGAIN)).count();
        assert!(told < MOST, "{told}");
    }
}
