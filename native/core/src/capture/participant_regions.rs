// SPDX-License-Identifier: Apache-2.0
//! Who is shown where, as soon as it can be known: sources bring their pictures to that size before they wait.

use std::sync::{Arc, Mutex};

use super::api::Fit;
use super::clock::lock;
use super::geometry::{places, Fill, Placement};
use super::roster::Member;
use super::tick::Settings;

/// The canvas and how it is shared out.
pub struct ParticipantRegions {
    canvas: (u32, u32),
    fit: Fit,
    settings: Arc<Mutex<Settings>>,
}

impl ParticipantRegions {
    pub fn new(canvas: (u32, u32), fit: Fit, settings: Arc<Mutex<Settings>>) -> Self {
        Self { canvas, fit, settings }
    }

    /// The places of the members, who are given in order of joining, from the back to the front; tells each source its own.
    pub fn seat(&self, members: &[Member]) -> Vec<Placement> {
        let Settings { layout, max_resolution_uid, .. } = *lock(&self.settings);
        let uids: Vec<u32> = members.iter().map(|member| member.uid).collect();
        let mut places = places(layout, max_resolution_uid, self.canvas, &uids);
        if self.fit == Fit::Contain {
            for place in &mut places {
                place.fill = Fill::Contain;
            }
        }
        for place in &places {
            for member in members.iter().filter(|member| member.uid == place.uid) {
                member.feed.show_in(place.region, place.fill);
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::api::Layout;
    use crate::capture::feed::Feed;

    #[test]
    fn who_asks_to_see_whole_pictures_sees_them_whole_in_every_region() {
        for layout in [Layout::Float, Layout::BestFit, Layout::Vertical] {
            let settings = Settings { layout, max_resolution_uid: 7, paused: false };
            let participant_regions = |fit| ParticipantRegions::new((640, 360), fit, Arc::new(Mutex::new(settings)));
            let members = [7, 5, 6].map(|uid| Member { uid, feed: Arc::new(Feed::new(1)), audio: true, video: true });
            assert!(participant_regions(Fit::Contain).seat(&members).iter().all(|place| place.fill == Fill::Contain));
            let cropped =
                participant_regions(Fit::Crop).seat(&members).iter().filter(|place| place.fill == Fill::Crop).count();
            assert_eq!(cropped, if layout == Layout::Vertical { 2 } else { 3 });
        }
    }

    #[test]
    fn every_source_knows_its_region_before_the_first_tick_and_after_each_change() {
        let settings = Settings { layout: Layout::BestFit, max_resolution_uid: 0, paused: false };
        let participant_regions = ParticipantRegions::new((640, 360), Fit::Crop, Arc::new(Mutex::new(settings)));
        let member = |uid| Member { uid, feed: Arc::new(Feed::new(1)), audio: true, video: true };
        let mut members = vec![member(7)];
        let width = |members: &[Member], index: usize| {
            participant_regions.seat(members);
            members[index].feed.shown_in().map(|(region, _)| region.width)
        };
        assert_eq!(width(&members, 0), Some(640));
        members.extend([member(5), member(6)]);
        assert_eq!(width(&members, 0), Some(320));
        assert_eq!(width(&members, 2), Some(320));
    }
}
