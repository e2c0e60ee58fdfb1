// SPDX-License-Identifier: Apache-2.0
//! Which of a source's streams are recorded, where it has several of a kind.

use std::ffi::CStr;
use std::ptr;
use std::time::Duration;

use ffmpeg_sys_next as ffi;

use super::open::Input;
use crate::capture::api::{TrackKind, VideoStream};

/// Pictures that are chosen from: each has a decoder while their sizes are learnt.
const MOST_PICTURES: usize = 8;

impl Input {
    /// Learns the sizes of pictures where there is a choice between several and the container does not tell them. Of
    /// several programs, all but one may show themselves only later.
    pub fn tell_pictures_apart(&mut self, limit: Duration) {
        let needless: Vec<usize> = self.candidates(TrackKind::Video).skip(MOST_PICTURES).collect();
        for index in needless {
            self.discard(index);
        }
        let pictures: Vec<usize> = self.candidates(TrackKind::Video).collect();
        let programs = self.programs();
        let hidden = programs.len() > 1 && programs.iter().any(Vec::is_empty);
        let told = pictures.iter().all(|index| self.weight(*index) != (0, 0));
        if !hidden && (pictures.len() < 2 || told) {
            return;
        }
        self.learn(limit);
    }

    /// The stream to record for a track, by what is known of the streams now: the sound comes with the picture.
    pub fn best(&self, track: TrackKind, wanted: VideoStream) -> Option<usize> {
        let all: Vec<usize> = self.candidates(track).collect();
        let picture = match track {
            TrackKind::Audio => self.best(TrackKind::Video, wanted),
            TrackKind::Video => None,
        };
        let beside: Vec<usize> = all.iter().copied().filter(|index| self.belong_together(picture, *index)).collect();
        let candidates = if beside.is_empty() { all } else { beside }.into_iter();
        match wanted {
            VideoStream::High => candidates.rev().max_by_key(|index| self.weight(*index)),
            VideoStream::Low => candidates.min_by_key(|index| self.weight(*index)),
        }
    }

    fn candidates(&self, track: TrackKind) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.streams().len()).filter(move |index| self.track(*index) == Some(track) && self.is_received(*index))
    }

    fn is_received(&self, index: usize) -> bool {
        self.stream(index).is_some_and(|stream| stream.discard != ffi::AVDiscard::AVDISCARD_ALL)
    }

    /// Orders streams of one kind by quality: by size, then by the bit rate that a playlist or the stream tells.
    fn weight(&self, index: usize) -> (i64, i64) {
        self.stream(index).map_or((0, 0), |stream| {
            // SAFETY: every stream has parameters.
            let parameters = unsafe { &*stream.codecpar };
            let rate = variant_rate(stream).unwrap_or(parameters.bit_rate);
            (i64::from(parameters.width) * i64::from(parameters.height), rate)
        })
    }

    /// Whether both streams are of one program (variant, channel) of the source.
    fn belong_together(&self, one: Option<usize>, other: usize) -> bool {
        one.is_some_and(|one| self.programs().iter().any(|program| program.contains(&one) && program.contains(&other)))
    }

    /// The streams of each program.
    fn programs(&self) -> Vec<Vec<usize>> {
        let context = self.context();
        if context.programs.is_null() {
            return Vec::new();
        }
        // SAFETY: the context says how many programs it holds, and each how many indices; all pointers are its own.
        unsafe {
            let programs = std::slice::from_raw_parts(context.programs, context.nb_programs as usize).iter();
            let indices = |program: &ffi::AVProgram| {
                (0..program.nb_stream_indexes as usize).map(|at| *program.stream_index.add(at) as usize).collect()
            };
            programs.map(|program| indices(&**program)).collect()
        }
    }

    /// Whether stream `new`, which appeared later, takes the place of `old`: sources that change their codec do so.
    pub fn succeeds(&self, new: usize, old: usize) -> bool {
        let alone = !self.programs().iter().any(|program| program.contains(&old));
        new > old
            && self.is_received(new)
            && self.track(new) == self.track(old)
            && (alone || self.belong_together(Some(old), new))
    }

    /// Stops receiving a stream, where the container can do without it.
    pub fn discard(&mut self, index: usize) {
        if let Some(stream) = self.streams().get(index) {
            // SAFETY: the pointer is valid as long as the context, which is borrowed exclusively.
            unsafe { (**stream).discard = ffi::AVDiscard::AVDISCARD_ALL };
        }
    }
}

/// The bit rate that a playlist of variants tells of the stream's variant.
fn variant_rate(stream: &ffi::AVStream) -> Option<i64> {
    // SAFETY: the dictionary belongs to the stream; an entry's value is a C string owned by it.
    unsafe {
        let entry = ffi::av_dict_get(stream.metadata, c"variant_bitrate".as_ptr(), ptr::null(), 0).as_ref()?;
        CStr::from_ptr(entry.value).to_str().ok()?.parse().ok()
    }
}
