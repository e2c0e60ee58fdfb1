// SPDX-License-Identifier: Apache-2.0
//! Cuts the multiplexed output into slices: names them, announces them before their first byte, seals them at the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::api::{CaptureSink, ClosedSlice, OpenSlice, TrackKind, TrackStart, UtcMillis};
use super::av::frame::Packet;
use super::av::AvError;
use super::mux::{Muxer, SliceFile};
use super::utc;
use crate::error::{Code, Error};

/// Where slices lie and how they are called.
pub struct Naming {
    pub directory: PathBuf,
    pub stem: String,
}

pub struct Slicer {
    naming: Naming,
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
    pub fn new(naming: Naming, sink: Arc<dyn CaptureSink>, muxer: Muxer, kinds: Vec<TrackKind>) -> Self {
        Self { naming, sink, muxer, kinds, current: None }
    }

    pub fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Opens the next slice; the one before must be closed.
    pub fn open(&mut self, beginning: Beginning) -> Result<(), Error> {
        let Beginning { ticks, utc, restart } = beginning;
        let file_name = format!("{}_{}.ts", self.naming.stem, utc::compact(utc));
        let track_starts =
            self.kinds.iter().filter(|_| restart).map(|kind| TrackStart { kind: *kind, at: utc }).collect();
        let path = self.naming.directory.join(&file_name);
        let slice = OpenSlice { file_name, path, start: utc, discontinuity: restart, track_starts };
        self.sink.slice_opened(&slice)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&slice.path);
        let file = file.map_err(|error| storage_error(&slice.path, &error))?;
        self.current = Some((slice, ticks));
        let begun = self.muxer.begin(SliceFile::new(file));
        begun.map_err(|error| self.explain(error))
    }

    pub fn write(&mut self, packet: &mut Packet, kind: TrackKind, ticks: i64) -> Result<(), Error> {
        self.write_reordered(packet, kind, ticks, ticks)
    }

    pub fn write_reordered(
        &mut self,
        packet: &mut Packet,
        kind: TrackKind,
        present: i64,
        decode: i64,
    ) -> Result<(), Error> {
        let stream = self.kinds.iter().position(|known| *known == kind).unwrap_or(0);
        let written = self.muxer.write(packet, stream, present, decode);
        written.map_err(|error| self.explain(error))
    }

    /// Gives what is buffered to the operating system, so that a killed process loses little.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.muxer.flush();
        self.muxer.take_failure().map_or(Ok(()), |error| Err(self.storage_error(&error)))
    }

    /// Closes the slice at `ticks`: complete, fsynced, and told to the sink. Returns how long it is.
    pub fn close(&mut self, ticks: i64) -> Result<i64, Error> {
        let ended = self.muxer.end();
        let file = ended.map_err(|error| self.explain(error))?;
        if let Some(error) = self.muxer.take_failure() {
            return Err(self.storage_error(&error));
        }
        let (Some((open, start)), Some(file)) = (self.current.take(), file) else { return Ok(0) };
        let sealed = file.seal().and_then(|sealed| sync_directory(&self.naming.directory).map(|()| sealed));
        let sealed = sealed.map_err(|error| storage_error(&open.path, &error))?;
        self.sink.slice_closed(ClosedSlice {
            open,
            duration_ticks: u64::try_from(ticks - start).unwrap_or(0),
            bytes: sealed.bytes,
            sha256: sealed.sha256,
            md5: sealed.md5,
        })?;
        Ok(ticks - start)
    }

    fn explain(&mut self, error: AvError) -> Error {
        match self.muxer.take_failure() {
            Some(failure) => self.storage_error(&failure),
            None => error.into_error(Code::RecorderFailed, "the slice could not be multiplexed"),
        }
    }

    fn storage_error(&self, error: &io::Error) -> Error {
        let path = self.current.as_ref().map_or(self.naming.directory.as_path(), |(slice, _)| slice.path.as_path());
        storage_error(path, error)
    }
}

/// Makes the directory's entries durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn storage_error(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::RecorderFailed, format!("the work volume cannot be written at {}: {error}", path.display()))
}
