// SPDX-License-Identifier: Apache-2.0
//! The journal: the file `<file prefix>index` of a recording's directory, one line a fact, durable before it is acted
//! upon. It holds no secret. One process at a time has it; parts of one recording may share the directory, as their file
//! prefixes differ.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::books::record::Record;
use crate::error::{Code, Error};

const FILE: &str = "index";

pub struct Journal {
    file: File,
    path: PathBuf,
    /// Up to where the file holds whole lines.
    length: u64,
}

impl Journal {
    /// The journal of the directory, both made if need be, with the facts it holds. A line that a dying process left
    /// unfinished was never acted upon, and is cut off.
    pub fn open(directory: &Path, file_prefix: &str) -> Result<(Self, Vec<Record>), Error> {
        let path = directory.join(format!("{file_prefix}{FILE}"));
        let failed = |error: std::io::Error| unusable(directory, &error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(
                    Code::RecorderInit,
                    format!("{}: another recorder has this recording; end it first", directory.display()),
                ))
            }
            result => result.map_err(|error| unusable(directory, &error.into()))?,
        }
        sync_directory(directory).map_err(failed)?;
        let mut journal = Self { file, path, length: 0 };
        let records = journal.read()?;
        journal.cut().map_err(failed)?;
        Ok((journal, records))
    }

    /// The file prefixes of the recordings in the directory.
    pub fn prefixes(directory: &Path) -> std::io::Result<Vec<String>> {
        let mut prefixes = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            prefixes.extend(name.to_str().and_then(|name| name.strip_suffix(FILE)).map(str::to_owned));
        }
        prefixes.sort();
        Ok(prefixes)
    }

    /// Returns once the fact is durable; what could not be written whole is taken back.
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let written = self.write(record);
        written.map_err(|error| {
            // What this fails to take back, the next open cuts off.
            let _ = self.cut();
            Error::new(Code::RecorderFailed, format!("{}: {error}", self.path.display()))
        })
    }

    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| unusable(&self.path, &error))?;
            if line.last() != Some(&b'\n') {
                return Ok(records);
            }
            let record = serde_json::from_slice(&line).ok().filter(Record::is_plausible).ok_or_else(|| {
                let number = records.len() + 1;
                let message = format!(
                    "{}: line {number} is damaged; mend it, or begin another recording: the slices beside it stay",
                    self.path.display()
                );
                Error::new(Code::RecorderInit, message)
            })?;
            records.push(record);
            self.length += read as u64;
        }
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }
}

/// A new entry of the directory survives a crash of the machine once this has returned.
pub fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Code::RecorderInit,
        format!("{}: {error}; the work directory must be writable for the recorder's user", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Scratch;

    fn fact(uid: u32) -> Record {
        Record::Joined { uid, at: 5 }
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let scratch = Scratch::new();
        let (mut journal, records) = Journal::open(scratch.path(), "").unwrap();
        assert!(records.is_empty());
        journal.append(&fact(1)).unwrap();
        journal.append(&Record::Concluded).unwrap();
        drop(journal);
        assert_eq!(Journal::open(scratch.path(), "").unwrap().1, [fact(1), Record::Concluded]);
    }

    #[test]
    fn an_unfinished_line_is_cut_off() {
        let scratch = Scratch::new();
        Journal::open(scratch.path(), "").unwrap().0.append(&fact(1)).unwrap();
        let mut file = OpenOptions::new().append(true).open(scratch.path().join(FILE)).unwrap();
        file.write_all(b"{\"record\":\"Joi").unwrap();
        let (mut journal, records) = Journal::open(scratch.path(), "").unwrap();
        assert_eq!(records, [fact(1)]);
        journal.append(&fact(2)).unwrap();
        drop(journal);
        assert_eq!(Journal::open(scratch.path(), "").unwrap().1, [fact(1), fact(2)]);
    }

    #[test]
    fn a_damaged_line_is_told_by_its_number() {
        let scratch = Scratch::new();
        std::fs::write(scratch.path().join(FILE), "{\"record\":\"Concluded\"}\nnonsense\n").unwrap();
        let error = Journal::open(scratch.path(), "").err().unwrap();
        assert_eq!(error.code, Code::RecorderInit);
        assert!(error.message.contains("line 2 is damaged"), "{}", error.message);
    }

    #[test]
    fn one_at_a_time_has_it() {
        let scratch = Scratch::new();
        let held = Journal::open(scratch.path(), "").unwrap();
        let error = Journal::open(scratch.path(), "").err().unwrap();
        assert!(error.message.contains("another recorder has this recording"), "{}", error.message);
        assert!(Journal::open(scratch.path(), "bak0_").is_ok());
        assert_eq!(Journal::prefixes(scratch.path()).unwrap(), ["", "bak0_"]);
        drop(held);
        assert!(Journal::open(scratch.path(), "").is_ok());
    }
}
