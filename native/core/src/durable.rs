// SPDX-License-Identifier: Apache-2.0
//! What survives a crash of the machine: the entries of directories are as durable as the files.

use std::fs::File;
use std::io;
use std::path::Path;

/// A new entry of the directory survives a crash of the machine once this has returned.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
