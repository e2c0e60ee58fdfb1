// SPDX-License-Identifier: Apache-2.0
//! Who is shown where, as soon as it can be known: sources bring their pictures to that size before they wait.

use std::sync::{Arc, Mutex};

use super::api::{Fit, Layout, MaxResolution};
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
        let Settings { layout, max_resolution, .. } = lock(&self.settings).clone();
        let max_resolution_uid = chosen(&max_resolution, members);
        let mut uids: Vec<u32> = members.iter().map(|member| member.uid).collect();
        let screen = leading_screen(members, layout, max_resolution_uid);
        // Float's first fills the canvas; for the others nobody changes places.
        if let Some(index) = uids.iter().position(|uid| layout == Layout::Float && Some(*uid) == screen) {
            uids[..=index].rotate_right(1);
        }
        let mut places = places(layout, screen.unwrap_or(max_resolution_uid), self.canvas, &uids);
        for place in &mut places {
            for member in members.iter().filter(|member| member.uid == place.uid) {
                if self.fit == Fit::Contain || member.screen {
                    place.fill = Fill::Contain;
                }
                member.feed.show_in(place.region, place.fill);
            }
        }
        places
    }
}

/// The uid of who is to be seen large; 0 where that is nobody, or somebody who is not there.
fn chosen(max_resolution: &MaxResolution, members: &[Member]) -> u32 {
    match max_resolution {
        MaxResolution::Uid(uid) => *uid,
        MaxResolution::Identity(identity) => {
            let known = members.iter().find(|member| member.identity.as_ref() == Some(identity));
            known.map_or(0, |member| member.uid)
        }
    }
}

/// The screen that leads the layout: the first that came, unless somebody who is there was chosen to be seen large.
fn leading_screen(members: &[Member], layout: Layout, max_resolution_uid: u32) -> Option<u32> {
    let mut screens = members.iter().filter(|member| member.screen && member.video);
    match members.iter().find(|member| member.uid == max_resolution_uid) {
        Some(chosen) => (chosen.screen && chosen.video).then_some(chosen.uid),
        None if layout == Layout::BestFit => None,
        None => screens.next().map(|member| member.uid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_see_whole_pictures_sees_them_whole_in_every_region() {
        for layout in [Layout::Float, Layout::BestFit, Layout::Vertical] {
            let settings = Settings { layout, max_resolution: MaxResolution::Uid(7), paused: false };
            let participant_regions =
                |fit| ParticipantRegions::new((640, 360), fit, Arc::new(Mutex::new(settings.clone())));
            let members = [7, 5, 6].map(Member::somebody);
            assert!(participant_regions(Fit::Contain).seat(&members).iter().all(|place| place.fill == Fill::Contain));
            let cropped =
                participant_regions(Fit::Crop).seat(&members).iter().filter(|place| place.fill == Fill::Crop).count();
            assert_eq!(cropped, if layout == Layout::Vertical { 2 } else { 3 });
        }
    }

    #[test]
    fn every_source_knows_its_region_before_the_first_tick_and_after_each_change() {
        let settings = Settings { layout: Layout::BestFit, max_resolution: MaxResolution::Uid(0), paused: false };
        let participant_regions = ParticipantRegions::new((640, 360), Fit::Crop, Arc::new(Mutex::new(settings)));
        let mut members = vec![Member::somebody(7)];
        let width = |members: &[Member], index: usize| {
            participant_regions.seat(members);
            members[index].feed.shown_in().map(|(region, _)| region.width)
        };
        assert_eq!(width(&members, 0), Some(640));
        members.extend([Member::somebody(5), Member::somebody(6)]);
        assert_eq!(width(&members, 0), Some(320));
        assert_eq!(width(&members, 2), Some(320));
    }

    /// Who is shown from the back to the front, and who of them whole; a screen is `('s', uid)`, one that is not sent `'m'`.
    fn shown(layout: Layout, large: MaxResolution, members: &[(char, u32)]) -> Vec<(u32, u32, Fill)> {
        let settings = Settings { layout, max_resolution: large, paused: false };
        let participant_regions = ParticipantRegions::new((640, 360), Fit::Crop, Arc::new(Mutex::new(settings)));
        let member = |(kind, uid): &(char, u32)| Member {
            identity: Some(format!("p{uid}").into()),
            video: *kind != 'm',
            screen: *kind != 'p',
            ..Member::somebody(*uid)
        };
        let members: Vec<Member> = members.iter().map(member).collect();
        let places = participant_regions.seat(&members);
        for place in &places {
            let member = members.iter().find(|member| member.uid == place.uid).expect("a member");
            assert_eq!(member.feed.shown_in(), Some((place.region, place.fill)), "sources know what is shown");
        }
        places.iter().map(|place| (place.uid, place.region.width, place.fill)).collect()
    }

    #[test]
    fn the_first_screen_leads_unless_somebody_who_is_there_was_chosen_and_none_is_ever_cropped() {
        use Fill::{Contain, Crop};
        use Layout::{BestFit, Float, Vertical};
        let (ann, bob, first, second) = (('p', 1), ('p', 2), ('s', 3), ('s', 4));
        let people = [ann, bob, first, second];
        for (layout, large, members, expected) in [
            (Float, 0, &people[..], vec![(3, 640, Contain), (1, 150, Crop), (2, 150, Crop), (4, 150, Contain)]),
            (Float, 9, &people[..3], vec![(3, 640, Contain), (1, 150, Crop), (2, 150, Crop)]),
            (Float, 2, &people[..3], vec![(1, 640, Crop), (2, 150, Crop), (3, 150, Contain)]),
            (Float, 4, &people, vec![(4, 640, Contain), (1, 150, Crop), (2, 150, Crop), (3, 150, Contain)]),
            (Float, 0, &people[..2], vec![(1, 640, Crop), (2, 150, Crop)]),
            (Float, 0, &[ann, ('m', 3)], vec![(1, 640, Crop), (3, 150, Contain)]),
            (Vertical, 0, &people, vec![(3, 512, Contain), (1, 128, Crop), (2, 128, Crop), (4, 128, Contain)]),
            (Vertical, 9, &people[..3], vec![(3, 512, Contain), (1, 128, Crop), (2, 128, Crop)]),
            (Vertical, 2, &people[..3], vec![(2, 512, Contain), (1, 128, Crop), (3, 128, Contain)]),
            (Vertical, 4, &people, vec![(4, 512, Contain), (1, 128, Crop), (2, 128, Crop), (3, 128, Contain)]),
            (Vertical, 2, &people[..2], vec![(2, 512, Contain), (1, 128, Crop)]),
            (BestFit, 0, &people[..3], vec![(1, 320, Crop), (2, 320, Crop), (3, 320, Contain)]),
        ] {
            let identity = MaxResolution::Identity(format!("p{large}").into());
            for large in [MaxResolution::Uid(large), identity] {
                assert_eq!(shown(layout, large.clone(), members), expected, "{layout:?} with {large:?} large");
            }
        }
    }
}
