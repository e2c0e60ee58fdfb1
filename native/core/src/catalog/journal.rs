// SPDX-License-Identifier: Apache-2.0
//! The journal: the file `<file prefix>index` of a recording's directory, one line a fact, durable before it is acted
//! upon. It holds no secret. Each line ends with a sum of what it says, so that no damage passes for a fact. One process
//! at a time has it; parts of one recording may share the directory, as their file prefixes differ.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::catalog::record::{Record, VERSION};
use crate::catalog::CatalogError;
use crate::durable::sync_directory;
use crate::error::{Code, Error};
use crate::names;

/// What the journal is called, behind the file prefix.
pub const FILE: &str = "index";

pub struct Journal {
    file: File,
    path: PathBuf,
    /// Up to where the file holds whole lines.
    length: u64,
}

/// Its name.
#[must_use]
pub fn file(file_prefix: &str) -> String {
    format!("{file_prefix}{FILE}")
}

impl Journal {
    /// The journal of the directory, both made if need be, with the facts it holds. A line that a dying process left
    /// unfinished was never acted upon, and is cut off.
    pub fn open(directory: &Path, file_prefix: &str) -> Result<(Self, Vec<Record>), Error> {
        let path = directory.join(file(file_prefix));
        let failed = |error: std::io::Error| unusable(directory, &error);
        create_directories(directory).map_err(failed)?;
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

    /// The first fact, without taking the journal: it may be in use.
    #[must_use]
    pub fn first(directory: &Path, file_prefix: &str) -> Option<Record> {
        let file = File::open(directory.join(file(file_prefix))).ok()?;
        let mut line = Vec::new();
        BufReader::new(file).read_until(b'\n', &mut line).ok()?;
        line.pop().filter(|last| *last == b'\n')?;
        understood(&line, false).ok().map(|(record, _)| record)
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

    /// The line that a journal has for the fact.
    pub fn line(record: &Record) -> std::io::Result<String> {
        Ok(written(&serde_json::to_string(record)?))
    }

    /// A journal that is written into the file, whatever that is.
    #[cfg(test)]
    #[must_use]
    pub fn upon(file: File) -> Self {
        Self { file, path: PathBuf::new(), length: 0 }
    }

    /// Returns once the fact is durable; what could not be written whole is taken back.
    pub fn append(&mut self, record: &Record) -> Result<(), CatalogError> {
        let written = self.write(record);
        written.map_err(|error| {
            // What this fails to take back, the next open cuts off.
            let _ = self.cut();
            CatalogError(Error::new(Code::RecorderFailed, format!("{}: {error}", self.path.display())))
        })
    }

    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        let line = Self::line(record)?;
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut reader = BufReader::new(&self.file);
        let mut line = Vec::new();
        let mut all_have_sums = false;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| unusable(&self.path, &error))?;
            if line.pop() != Some(b'\n') {
                return Ok(records);
            }
            let (record, has_sum) =
                understood(&line, all_have_sums).map_err(|fault| self.unreadable(&fault, records.len() + 1))?;
            all_have_sums |= has_sum;
            records.push(record);
            self.length += read as u64;
        }
    }

    fn unreadable(&self, fault: &Fault, number: usize) -> Error {
        let why = match fault {
            Fault::Damaged => {
                format!("line {number} is damaged; mend it, or begin another recording: the slices beside it stay")
            }
            Fault::Newer => {
                format!("line {number} was written by a newer version of the recorder; take the recording up with that")
            }
        };
        Error::new(Code::RecorderInit, format!("{}: {why}", self.path.display()))
    }

    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }
}

/// The last field of a line: the first digits of the SHA-256 of the line without it.
const SUM: &str = ",\"sum\":\"";
const SUM_DIGITS: usize = 16;

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Damaged,
    /// The line is whole, but this code does not know what it says.
    Newer,
}

/// The line for a fact, which is a JSON object with at least one field.
fn written(fact: &str) -> String {
    format!("{}{SUM}{}\"}}\n", fact.strip_suffix('}').unwrap_or(fact), sum(fact))
}

/// The fact in the line, and whether its sum proves it: journals of the first version have none, so the first lines may
/// lack them.
fn understood(line: &[u8], must_have_sum: bool) -> Result<(Record, bool), Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::Damaged)?;
    let proved = match line.rsplit_once(SUM) {
        Some((fact, told)) => {
            if told.strip_suffix("\"}") != Some(&sum(&format!("{fact}}}"))) {
                return Err(Fault::Damaged);
            }
            true
        }
        None if must_have_sum => return Err(Fault::Damaged),
        None => false,
    };
    let unknown = if proved { Fault::Newer } else { Fault::Damaged };
    let record: Record = serde_json::from_str(line).map_err(|_| unknown)?;
    match &record {
        Record::Begun(begun) if begun.version > VERSION => Err(Fault::Newer),
        record if !record.is_plausible() => Err(Fault::Damaged),
        _ => Ok((record, proved)),
    }
}

fn sum(fact: &str) -> String {
    let mut digits = names::hex(&Sha256::digest(fact));
    digits.truncate(SUM_DIGITS);
    digits
}

/// Makes the directory and those it lies in, each entry durable: a journal in a directory that a crash undoes is lost.
fn create_directories(directory: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(directory)?;
    let parents = missing.iter().filter_map(|path| path.parent());
    parents.map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path }).try_for_each(sync_directory)
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
    fn a_line_that_a_disk_has_changed_is_never_taken_for_a_fact() {
        let scratch = Scratch::new();
        let path = scratch.path().join(FILE);
        let mut journal = Journal::open(scratch.path(), "").unwrap().0;
        journal.append(&fact(1)).unwrap();
        journal.append(&fact(2)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for place in (0..first).chain(first + 1..whole.len() - 1) {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            match Journal::open(scratch.path(), "") {
                // Only the name of the sum's field was changed.
                Ok((_, records)) => assert_eq!(records, [fact(1), fact(2)], "{place}"),
                Err(error) => {
                    let number = if place < first { 1 } else { 2 };
                    assert!(error.message.contains(&format!("line {number} is damaged")), "{}", error.message);
                }
            }
        }
    }

    #[test]
    fn journals_of_the_first_version_are_read_and_go_on_with_sums() {
        let scratch = Scratch::new();
        let path = scratch.path().join(FILE);
        std::fs::write(&path, "{\"record\":\"Joined\",\"uid\":1,\"at\":5}\n").unwrap();
        let (mut journal, records) = Journal::open(scratch.path(), "").unwrap();
        assert_eq!(records, [fact(1)]);
        journal.append(&fact(2)).unwrap();
        drop(journal);
        assert_eq!(Journal::open(scratch.path(), "").unwrap().1, [fact(1), fact(2)]);
        // That version takes no notice of a field that it does not know.
        let text = std::fs::read_to_string(&path).unwrap();
        let facts: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(facts, [fact(1), fact(2)]);
        std::fs::write(&path, text + "{\"record\":\"Concluded\"}\n").unwrap();
        assert!(Journal::open(scratch.path(), "").err().unwrap().message.contains("line 3 is damaged"));
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_damage() {
        let newer = crate::catalog::ledger::tests::begun();
        let newer = Record::Begun(Box::new(crate::catalog::record::Begun { version: VERSION + 1, ..newer }));
        for fact in [serde_json::to_string(&newer).unwrap(), "{\"record\":\"Dreamt\"}".to_owned()] {
            let scratch = Scratch::new();
            std::fs::write(scratch.path().join(FILE), written(&fact)).unwrap();
            let error = Journal::open(scratch.path(), "").err().unwrap();
            assert!(error.message.contains("line 1 was written by a newer version"), "{}", error.message);
        }
    }

    #[test]
    fn the_directories_above_are_made_too() {
        let scratch = Scratch::new();
        let deep = scratch.path().join("a/b/c");
        Journal::open(&deep, "").unwrap().0.append(&fact(1)).unwrap();
        assert_eq!(Journal::open(&deep, "").unwrap().1, [fact(1)]);
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
