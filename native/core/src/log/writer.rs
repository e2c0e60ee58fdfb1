// SPDX-License-Identifier: Apache-2.0
//! Writes lines in a thread of its own, which begins with the first line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender, SyncSender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// So many lines wait for a disk that stalls.
const WAITING: usize = 1000;
/// The file begins anew beyond this, and the one before it is kept.
const LARGEST: u64 = 10_000_000;
/// How long the last lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug, Clone)]
pub enum LogDestination {
    File(PathBuf),
    StandardError,
}

pub struct LogWriter {
    destination: LogDestination,
    writer: OnceLock<Option<LogThread>>,
}

struct LogThread {
    lines: SyncSender<String>,
    /// Never says anything, and ends with the thread.
    done: Mutex<Receiver<()>>,
}

impl LogWriter {
    pub fn new(destination: LogDestination) -> Self {
        Self { destination, writer: OnceLock::new() }
    }

    /// Never blocks; false where the line cannot be taken.
    pub fn write(&self, line: String) -> bool {
        let writer = self.writer.get_or_init(|| LogThread::start(self.destination.clone()));
        writer.as_ref().is_some_and(|writer| writer.lines.try_send(line).is_ok())
    }
}

impl Drop for LogWriter {
    /// What was written is in the file then, unless the disk stalls.
    fn drop(&mut self) {
        if let Some(LogThread { lines, done }) = self.writer.take().flatten() {
            drop(lines);
            // Its end is what is waited for.
            let _ = done.into_inner().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST_WORDS);
        }
    }
}

impl LogThread {
    fn start(destination: LogDestination) -> Option<Self> {
        let (lines, received) = sync_channel::<String>(WAITING);
        let (alive, done) = channel();
        let work = move || {
            let _alive: Sender<()> = alive;
            let mut output = LogOutput::new(destination);
            for line in received {
                output.write(&line);
            }
        };
        #[allow(clippy::disallowed_methods)] // the log's thread logs nothing
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(work);
        thread.is_ok().then(|| Self { lines, done: Mutex::new(done) })
    }
}

enum LogOutput {
    File(LogFile),
    StandardError,
}

impl LogOutput {
    fn new(destination: LogDestination) -> Self {
        match destination {
            LogDestination::File(path) => Self::File(LogFile { path, file: None, bytes: 0 }),
            LogDestination::StandardError => Self::StandardError,
        }
    }

    /// What cannot be written is lost: a log is not worth a recording.
    fn write(&mut self, line: &str) {
        let _ = match self {
            Self::File(file) => file.write(line),
            Self::StandardError => io::stderr().write_all(line.as_bytes()),
        };
    }
}

struct LogFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl LogFile {
    fn write(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        if self.file.is_some() && self.bytes + length > LARGEST {
            self.file = None;
            std::fs::rename(&self.path, older(&self.path))?;
        }
        if self.file.is_none() {
            self.open()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.bytes += length;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.bytes = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Scratch;

    #[test]
    fn a_log_never_takes_more_than_two_files_of_its_size() {
        let scratch = Scratch::new();
        let path = scratch.path().join("below").join("a.log");
        let mut file = LogFile { path: path.clone(), file: None, bytes: 0 };
        let line = "x".repeat(999_999) + "\n";
        for _ in 0..25 {
            file.write(&line).unwrap();
        }
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert_eq!((size(&path), size(&older(&path))), (5_000_000, LARGEST));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn an_earlier_process_s_log_goes_on() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a.log");
        for line in ["one\n", "two\n"] {
            let writer = LogWriter::new(LogDestination::File(path.clone()));
            assert!(writer.write(line.to_owned()));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
