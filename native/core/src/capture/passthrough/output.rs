// SPDX-License-Identifier: Apache-2.0
//! The writing half: interleaves what was read, and cuts it into slices as the cutter says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use super::cutter::{CutStep, Cutter, PacketFacts, SliceLimits, TracksPresent};
use super::format::Format;
use super::interleave::Interleaver;
use super::reorder::ReorderBuffer;
use super::timeline::Placed;
use crate::capture::api::{CaptureConfig, TrackKind, UtcMillis};
use crate::capture::av::frame::Packet;
use crate::capture::clock::{lock, nanos, rescaled, Nanos, SECOND};
use crate::capture::fault::Fatal;
use crate::capture::mux::{Muxer, TICKS_PER_SECOND};
use crate::capture::slicer::{Beginning, Slicer, Unwritten};
use crate::capture::CaptureContext;

/// Time of the first packet in the output. Far from zero, as pictures are decoded before they are presented.
const ORIGIN: i64 = 10 * TICKS_PER_SECOND;

/// How much media may be lost in buffers of the process if it is killed.
const FLUSH: i64 = TICKS_PER_SECOND / 4;

/// What the reading half asks for, in order.
pub enum CopyJob {
    Write(CopiedPacket),
    /// The output ends with what came so far. The reason tells of what follows until the next packet; the source
    /// has `ended` where no picture is missing among the last ones.
    Break {
        reason: String,
        ended: bool,
    },
    /// The recording is over, or goes on elsewhere. Without `whole`, what could not be begun yet is left out.
    Finish {
        at: Nanos,
        whole: bool,
    },
}

/// Where the writing half is.
#[derive(Default)]
pub struct CopyStatus {
    /// Bytes that were read and are not written yet.
    pub bytes: AtomicUsize,
    /// Where the last closed slice ends.
    pub end: Mutex<Option<UtcMillis>>,
    /// Why nothing more can be copied, once it is so.
    pub misfit: Mutex<Option<String>>,
}

/// A packet on the recording's clock.
pub struct CopiedPacket {
    pub track: TrackKind,
    pub key: bool,
    pub placed: Placed,
    pub packet: Packet,
    pub format: Arc<Format>,
}

pub struct CopyWriter {
    parts: CaptureContext,
    status: Arc<CopyStatus>,
    origin: Option<Nanos>,
    order: ReorderBuffer<CopiedPacket>,
    interleaver: Interleaver<CopiedPacket>,
    /// The last format of each track that was read.
    formats: [Option<Arc<Format>>; 2],
    cutter: Cutter,
    slicer: Option<Slicer>,
    gap: Option<(i64, String)>,
    /// Ticks in closed slices.
    written: i64,
    flushed: i64,
    /// The multiplexer did not take a packet: what follows it is left out.
    refused: bool,
}

impl CopyWriter {
    pub fn new(config: &CaptureConfig, parts: &CaptureContext, status: Arc<CopyStatus>) -> Self {
        let longest = config.passthrough.map_or(config.slice, |passthrough| passthrough.longest_slice);
        let limits = SliceLimits { slice: ticks(nanos(config.slice)), longest: ticks(nanos(longest)) };
        Self {
            parts: parts.clone(),
            status,
            origin: None,
            order: ReorderBuffer::default(),
            interleaver: Interleaver::default(),
            formats: [None, None],
            cutter: Cutter::new(limits),
            slicer: None,
            gap: None,
            written: 0,
            flushed: 0,
            refused: false,
        }
    }

    /// Works until the copy is over.
    pub fn run(mut self, jobs: &Receiver<CopyJob>) -> Result<(), Fatal> {
        for job in jobs {
            match job {
                CopyJob::Write(piece) => self.copied(|output| output.take(piece))?,
                CopyJob::Break { reason, ended } => self.copied(|output| output.break_off(Some(reason), ended))?,
                CopyJob::Finish { at, whole } => {
                    if self.cutter.open_slice().is_none() && !whole {
                        self.interleaver.clear();
                    }
                    self.copied(|output| output.break_off(None, false))?;
                    self.report_gap(self.parts.clock.utc(at));
                    return Ok(());
                }
            }
        }
        self.copied(|output| output.break_off(None, false))
    }

    /// Works on what the source sent. What the multiplexer does not take of it ends the copy, not the recording.
    fn copied(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Unwritten>) -> Result<(), Fatal> {
        match work(self) {
            Ok(()) => Ok(()),
            Err(Unwritten::Fatal(fatal)) => Err(fatal),
            Err(Unwritten::Refused(error)) => {
                let reason = format!("a transport stream does not take its packets: {error}");
                lock(&self.status.misfit).get_or_insert(reason);
                self.refused = true;
                Ok(())
            }
        }
    }

    fn take(&mut self, piece: CopiedPacket) -> Result<(), Unwritten> {
        self.origin.get_or_insert(piece.placed.decode);
        self.formats[piece.track as usize] = Some(Arc::clone(&piece.format));
        if piece.track == TrackKind::Video {
            self.order.push(piece.placed, piece.key, piece);
            while let Some(picture) = self.order.next() {
                self.interleaver.push(TrackKind::Video, picture.placed.decode, picture);
            }
        } else {
            self.interleaver.push(TrackKind::Audio, piece.placed.decode, piece);
        }
        while let Some(piece) =
            self.interleaver.next(|piece| piece.key && self.cutter.changes(piece.track, piece.format.serial))
        {
            self.write(piece)?;
        }
        Ok(())
    }

    fn break_off(&mut self, reason: Option<String>, ended: bool) -> Result<(), Unwritten> {
        for picture in self.order.drain() {
            if ended {
                self.interleaver.push(TrackKind::Video, picture.placed.decode, picture);
            } else {
                self.status.bytes.fetch_sub(picture.packet.footprint(), Ordering::Relaxed);
            }
        }
        while let Some(piece) = self.interleaver.drain() {
            self.write(piece)?;
        }
        if let Some(end) = self.cutter.end() {
            self.close(end)?;
            self.gap = reason.map(|reason| (end, reason));
        }
        Ok(())
    }

    fn write(&mut self, mut piece: CopiedPacket) -> Result<(), Unwritten> {
        self.status.bytes.fetch_sub(piece.packet.footprint(), Ordering::Relaxed);
        if self.refused {
            return Ok(());
        }
        let facts = self.facts(&piece);
        loop {
            let other = if piece.track == TrackKind::Video { TrackKind::Audio } else { TrackKind::Video };
            match self.cutter.step(facts, self.interleaver.holds(other)) {
                CutStep::Drop => return Ok(()),
                CutStep::Write => break,
                CutStep::Cut { at } => {
                    self.close(at)?;
                    self.open(at, false)?;
                    break;
                }
                CutStep::Begin { end, at, tracks } => {
                    self.finish_old_sound(at)?;
                    self.close(end)?;
                    self.begin(&piece, at, tracks)?;
                    break;
                }
                CutStep::Hole { end } => {
                    self.close(end)?;
                    self.gap = Some((end, "the source sent nothing".to_owned()));
                }
            }
        }
        let Some(slicer) = &mut self.slicer else { return Ok(()) };
        slicer.copy(&mut piece.packet, piece.track, facts.present, facts.decode)?;
        if facts.decode - self.flushed >= FLUSH {
            self.flushed = facts.decode;
            slicer.flush()?;
        }
        self.show_position();
        Ok(())
    }

    /// Sound before `at`, and the last of a format that changes with the pictures, belongs to the old slice.
    fn finish_old_sound(&mut self, at: i64) -> Result<(), Unwritten> {
        let before = self.time(at);
        let newest = self.formats[TrackKind::Audio as usize].as_ref().map(|format| format.serial);
        while let Some(mut piece) = self
            .interleaver
            .next_if(TrackKind::Audio, |piece| piece.placed.present < before || newest != Some(piece.format.serial))
        {
            self.status.bytes.fetch_sub(piece.packet.footprint(), Ordering::Relaxed);
            let PacketFacts { present, decode, .. } = self.facts(&piece);
            if let Some(slicer) = self.slicer.as_mut().filter(|slicer| slicer.is_open()) {
                slicer.copy(&mut piece.packet, TrackKind::Audio, present, decode)?;
            }
        }
        Ok(())
    }

    fn facts(&self, piece: &CopiedPacket) -> PacketFacts {
        let at = |time: Nanos| ORIGIN + ticks(time - self.origin.unwrap_or(time));
        let Placed { decode, present, duration } = piece.placed;
        let (track, key, format) = (piece.track, piece.key, piece.format.serial);
        PacketFacts { track, key, decode: at(decode), present: at(present), duration: ticks(duration), format }
    }

    /// A multiplexer of its own for each piece of output: its streams are what they are from here on.
    fn begin(&mut self, piece: &CopiedPacket, at: i64, tracks: TracksPresent) -> Result<(), Unwritten> {
        self.report_gap(self.utc(at));
        let mut formats = Vec::new();
        let mut kinds = Vec::new();
        for track in [TrackKind::Video, TrackKind::Audio] {
            let read = self.formats[track as usize].as_ref();
            let format = if track == piece.track { Some(&piece.format) } else { read };
            if let Some(format) = format.filter(|_| tracks[track as usize]) {
                formats.push(&format.parameters);
                kinds.push(track);
            }
        }
        let muxer = Muxer::of_copies(&formats);
        let muxer = muxer.map_err(|error| Fatal::no_muxer(&error))?;
        let sink = Arc::clone(&self.parts.sink);
        self.slicer = Some(Slicer::new(Arc::clone(&self.parts.naming), sink, muxer, kinds));
        self.open(at, true)
    }

    fn open(&mut self, at: i64, restart: bool) -> Result<(), Unwritten> {
        let utc = self.utc(at);
        self.slicer.as_mut().map_or(Ok(()), |slicer| slicer.open(Beginning { ticks: at, utc, restart }))
    }

    fn close(&mut self, at: i64) -> Result<(), Fatal> {
        let Some(slicer) = self.slicer.as_mut().filter(|slicer| slicer.is_open()) else { return Ok(()) };
        self.written += slicer.close(at)?;
        *lock(&self.status.end) = Some(self.utc(at));
        Ok(())
    }

    fn show_position(&self) {
        let open = self.cutter.open_slice().map_or(0, |(start, end)| end - start);
        let position = rescaled(self.written + open, SECOND, TICKS_PER_SECOND);
        self.parts.position.store(position, Ordering::Relaxed);
    }

    fn utc(&self, at: i64) -> UtcMillis {
        self.parts.clock.utc(self.time(at))
    }

    fn time(&self, at: i64) -> Nanos {
        self.origin.unwrap_or(0) + rescaled(at - ORIGIN, SECOND, TICKS_PER_SECOND)
    }

    /// States what is missing until `stop`.
    fn report_gap(&mut self, stop: UtcMillis) {
        if let Some((start, reason)) = self.gap.take() {
            self.parts.sink.gap(self.utc(start), stop, reason);
        }
    }
}

fn ticks(time: Nanos) -> i64 {
    rescaled(time, TICKS_PER_SECOND, SECOND)
}
