// SPDX-License-Identifier: Apache-2.0
//! Joins fields that a codec sends as pictures of half the height, two for each whole one.

use crate::capture::av::deinterlace::woven;
use crate::capture::av::frame::Frame;
use crate::capture::av::AvError;
use crate::capture::clock::Nanos;

#[derive(Default)]
pub struct Fields {
    /// When it is due, whether its lines are the upper ones, and the field.
    first: Option<(Nanos, bool, Frame)>,
}

impl Fields {
    /// The whole picture that this one makes, and when it is due. `apart`: an interlaced picture is one of two fields.
    pub fn take(&mut self, due: Nanos, frame: Frame, apart: bool) -> Result<Option<(Nanos, Frame)>, AvError> {
        let Some(upper) = frame.interlaced().filter(|_| apart) else {
            self.first = None;
            return Ok(Some((due, frame)));
        };
        let Some((first_due, first_upper, first)) = self.first.take() else {
            self.first = Some((due, upper, frame));
            return Ok(None);
        };
        if first_upper == upper {
            // Its other half was lost.
            self.first = Some((due, upper, frame));
            let mut whole = woven(&first, &first)?;
            whole.set_progressive();
            return Ok(Some((first_due, whole)));
        }
        let mut whole = if upper { woven(&frame, &first)? } else { woven(&first, &frame)? };
        whole.set_interlaced(first_upper);
        Ok(Some((first_due, whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(upper: bool, luma: u8) -> Frame {
        let mut frame = Frame::i420(8, 4).expect("a picture");
        frame.plane_mut(0).expect("luma").0.fill(luma);
        frame.set_interlaced(upper);
        frame
    }

    fn lines(frame: &Frame) -> Vec<u8> {
        let luma = frame.plane(0).expect("luma");
        luma.bytes.chunks(luma.stride).map(|line| line[0]).collect()
    }

    #[test]
    fn two_fields_are_one_picture_at_the_time_of_the_first_whichever_comes_first() {
        for upper_first in [true, false] {
            let mut fields = Fields::default();
            assert!(fields.take(10, field(upper_first, 1), true).unwrap().is_none());
            let (due, whole) = fields.take(20, field(!upper_first, 2), true).unwrap().expect("a whole picture");
            let expected = if upper_first { [1, 2] } else { [2, 1] };
            assert_eq!((due, lines(&whole)), (10, expected.repeat(4)));
            assert_eq!(whole.interlaced(), Some(upper_first));
        }
    }

    #[test]
    fn a_field_whose_other_half_is_lost_is_shown_alone_and_whole_pictures_as_they_are() {
        let mut fields = Fields::default();
        assert!(fields.take(10, field(true, 1), true).unwrap().is_none());
        let (due, whole) = fields.take(30, field(true, 3), true).unwrap().expect("the first alone");
        assert_eq!((due, lines(&whole), whole.interlaced()), (10, vec![1; 8], None));
        let (due, whole) = fields.take(40, field(false, 4), true).unwrap().expect("a whole picture");
        assert_eq!((due, lines(&whole)), (30, [3, 4].repeat(4)));
        let (due, whole) = fields.take(50, field(true, 5), false).unwrap().expect("as it is");
        assert_eq!((due, whole.height(), whole.interlaced()), (50, 4, Some(true)));
    }
}
