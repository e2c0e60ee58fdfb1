// SPDX-License-Identifier: Apache-2.0
//! A participant that was shown small, decoded without the filter of its codec, and is then enlarged.

use std::sync::Arc;

use super::*;
use crate::capture::api::{CanvasConfig, StreamKinds, UtcMillis};
use crate::capture::av;
use crate::capture::av::parameters::Parameters;
use crate::capture::clock::{VirtualClock, SECOND};
use crate::capture::encode::x264::X264;
use crate::capture::encode::VideoEncoder;
use crate::capture::geometry::{Fill, Region};
use crate::capture::intake::{Intake, KeptEvents};
use crate::test_support::noise;

const CANVAS: CanvasConfig = CanvasConfig { width: 64, height: 64, frames_per_second: 10, bitrate_kbps: 30 };
const INTERVAL: Nanos = SECOND / 10;
const KEY_EACH: usize = 10;
const COUNT: usize = 60;

/// When it is enlarged: in the middle between two key pictures.
const ENLARGED: usize = 45;

/// Pictures with so much in them that little of it fits into the bit rate.
fn stream() -> (Vec<Packet>, Parameters) {
    av::prepare();
    let mut encoder = X264::open(CANVAS).expect("an encoder");
    let mut noise = noise();
    let packets = (0..COUNT).map(|index| {
        let mut picture = Frame::i420(CANVAS.width, CANVAS.height).expect("a picture");
        for plane in 0..3 {
            for (at, byte) in picture.plane_mut(plane).expect("a plane").0.iter_mut().enumerate() {
                *byte = u8::try_from((at / 7 + index * 5) % 128).unwrap() + (noise.next().expect("noise") >> 2);
            }
        }
        encoder.encode(&picture, index % KEY_EACH == 0).expect("a packet")
    });
    let packets = packets.collect();
    // SAFETY: the encoder is open, and the parameters are copied into new ones.
    let parameters = unsafe {
        let mut raw = ffi::avcodec_parameters_alloc();
        assert!(ffi::avcodec_parameters_from_context(raw, encoder.parameters().as_ptr()) >= 0);
        let parameters = Parameters::copied(raw).expect("parameters");
        ffi::avcodec_parameters_free(&raw mut raw);
        parameters
    };
    (packets, parameters)
}

/// The luma of each picture, decoded while it is shown in the region that `shown_in` tells for it.
fn decoded(shown_in: impl Fn(usize) -> Region) -> Vec<Vec<u8>> {
    let (packets, parameters) = stream();
    // SAFETY: the parameters are valid.
    let decoder = unsafe { Decoder::open(parameters.as_ptr()) }.expect("a decoder");
    let (clock, sink) = (Arc::new(VirtualClock::new(UtcMillis(0))), Arc::<KeptEvents>::default());
    let mut who = Intake::into_nothing(clock, sink, StreamKinds::VideoOnly).participant(7, &Arc::default());
    let mut decoder = TrackDecoder::new(TrackKind::Video, decoder);
    let due = |index: usize| Nanos::try_from(index).unwrap() * INTERVAL;
    for (index, mut packet) in packets.into_iter().enumerate() {
        who.feed().show_in(shown_in(index), Fill::Crop);
        decoder
            .decode(&mut packet, Due { decode: due(index), present: Some(due(index)) }, &mut who)
            .expect("decodable");
    }
    decoder.finish(&mut who);
    (0..COUNT).map(|index| luma(&who.feed().picture(due(index), 0).expect("a picture").frame)).collect()
}

fn luma(frame: &Frame) -> Vec<u8> {
    let plane = frame.plane(0).expect("luma");
    let rows = plane.bytes.chunks(plane.stride).take(frame.height() as usize);
    rows.flat_map(|row| row[..frame.width() as usize].to_vec()).collect()
}

#[test]
fn it_looks_as_it_was_sent_from_its_next_key_picture_on() {
    let large = Region { x: 0, y: 0, width: CANVAS.width, height: CANVAS.height };
    let small = Region { width: CANVAS.width / 4, height: CANVAS.height / 4, ..large };
    let sent = decoded(|_| large);
    let shown = decoded(|index| if index < ENLARGED { small } else { large });
    assert!(shown[..ENLARGED].iter().all(|picture| picture.len() == 16 * 16));
    let next_key = ENLARGED.next_multiple_of(KEY_EACH);
    assert!((ENLARGED..next_key).all(|index| shown[index] != sent[index]), "the filter was left out before");
    assert!((next_key..COUNT).all(|index| shown[index] == sent[index]));
}
