// SPDX-License-Identifier: Apache-2.0
//! Cuts the multiplexed output into slices: names them, announces them before their first byte, seals them at the end.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use super::api::{CaptureConfig, CaptureSink, ClosedSlice, OpenSlice, TrackKind, TrackStart, UtcMillis};
use super::av::frame::Packet;
use super::av::AvError;
use super::fault::Fatal;
use super::mux::{MuxError, Muxer, SliceFile};
use crate::durable::sync_directory;
use crate::names;

/// Where slices lie and how they are called: one for all of a capture, as no two slices may share a name.
pub struct Naming {
    directory: PathBuf,
    stem: String,
    newest: AtomicI64,
}

impl Naming {
    pub fn new(config: &CaptureConfig) -> Self {
        Self { directory: config.directory.clone(), stem: config.file_stem.clone(), newest: AtomicI64::new(i64::MIN) }
    }

    /// The start by which a slice is called that begins at `utc`: a millisecond after that of the slice before, if need be.
    fn start(&self, utc: UtcMillis) -> UtcMillis {
        let newest = self.newest.load(Ordering::Relaxed);
        let start = utc.0.max(newest.saturating_add(1));
        self.newest.store(start, Ordering::Relaxed);
        UtcMillis(start)
    }
}

pub struct Slicer {
    naming: Arc<Naming>,
    sink: Arc<dyn CaptureSink>,
    muxer: Muxer,
    kinds: Vec<TrackKind>,
    current: Option<(OpenSlice, i64)>,
}

/// The beginning of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    pub ticks: i64,
    pub utc: UtcMillis,
    /// Whether the output did not run on from the slice before.
    pub restart: bool,
}

impl Slicer {
    /// `kinds` are the output's tracks in the order of the muxer's streams.
    pub fn new(naming: Arc<Naming>, sink: Arc<dyn CaptureSink>, muxer: Muxer, kinds: Vec<TrackKind>) -> Self {
        Self { naming, sink, muxer, kinds, current: None }
    }

    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Opens the next slice; the one before must be closed.
    pub fn open(&mut self, beginning: Beginning) -> Result<(), Unwritten> {
        let Beginning { ticks, utc, restart } = beginning;
        let utc = self.naming.start(utc);
        let file_name = names::slice(&self.naming.stem, utc);
        let track_starts =
            self.kinds.iter().filter(|_| restart).map(|kind| TrackStart { kind: *kind, at: utc }).collect();
        let path = self.naming.directory.join(&file_name);
        let slice = OpenSlice { file_name, path, start: utc, discontinuity: restart, track_starts };
        self.sink.slice_opened(&slice).map_err(Fatal::catalog)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&slice.path);
        let file = file.map_err(|error| Fatal::disk(&slice.path, &error))?;
        self.current = Some((slice, ticks));
        let begun = self.muxer.begin(SliceFile::new(file));
        begun.map_err(|error| self.unwritten(error))
    }

    /// Writes a packet that our own encoders made.
    pub fn write(&mut self, packet: &mut Packet, kind: TrackKind, ticks: i64) -> Result<(), Fatal> {
        self.copy(packet, kind, ticks, ticks).map_err(Unwritten::of_our_own)
    }

    /// Writes a participant's packet as it came.
    pub fn copy(&mut self, packet: &mut Packet, kind: TrackKind, present: i64, decode: i64) -> Result<(), Unwritten> {
        let written = self.muxer.write(packet, self.stream(kind), present, decode);
        written.map_err(|error| self.unwritten(error))
    }

    /// Gives what is buffered to the operating system, so that a killed process loses little.
    pub fn flush(&mut self) -> Result<(), Fatal> {
        self.muxer.flush().map_err(|error| self.unwritten(error).of_our_own())
    }

    /// Closes the slice at `ticks`: complete, fsynced, and told to the sink. Returns how long it is.
    pub fn close(&mut self, ticks: i64) -> Result<i64, Fatal> {
        let ended = self.muxer.end();
        let file = ended.map_err(|error| self.unwritten(error).of_our_own())?;
        let (Some((open, start)), Some(file)) = (self.current.take(), file) else { return Ok(0) };
        let sealed = file.seal().and_then(|sealed| sync_directory(&self.naming.directory).map(|()| sealed));
        let sealed = sealed.map_err(|error| Fatal::disk(&open.path, &error))?;
        let closed = self.sink.slice_closed(ClosedSlice {
            open,
            duration_ticks: u64::try_from(ticks - start).unwrap_or(0),
            bytes: sealed.bytes,
            sha256: sealed.sha256,
            md5: sealed.md5,
        });
        closed.map_err(Fatal::catalog).map(|()| ticks - start)
    }

    fn stream(&self, kind: TrackKind) -> usize {
        self.kinds.iter().position(|known| *known == kind).unwrap_or(0)
    }

    fn unwritten(&self, error: MuxError) -> Unwritten {
        let path = self.current.as_ref().map_or(self.naming.directory.as_path(), |(slice, _)| slice.path.as_path());
        match error {
            MuxError::Disk(failure) => Unwritten::Fatal(Fatal::disk(path, &failure)),
            MuxError::Refused(error) => Unwritten::Refused(error),
        }
    }
}

/// Why something is not in the slice.
#[derive(Debug)]
pub enum Unwritten {
    /// The multiplexer does not take it: whose it is has to answer for that.
    Refused(AvError),
    Fatal(Fatal),
}

impl Unwritten {
    /// What it means where the packets are our own encoders', and not a participant's.
    pub fn of_our_own(self) -> Fatal {
        match self {
            Self::Refused(error) => Fatal::unmuxed(error),
            Self::Fatal(fatal) => fatal,
        }
    }
}

impl From<Fatal> for Unwritten {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}
