// SPDX-License-Identifier: Apache-2.0
//! One meaning for one word: no two types of the library share a name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The name of the type that the line defines. What a trait's implementation must name (`type Error`) is no type of ours.
fn defined(line: &str) -> Option<&str> {
    let is_inner = line.starts_with(' ');
    let mut words = line.trim_start().split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut word = words.next()?;
    while matches!(word, "pub" | "crate" | "super") {
        word = words.next()?;
    }
    let defines = matches!(word, "struct" | "enum" | "trait") || word == "type" && !is_inner;
    words.next().filter(|name| defines && name.starts_with(char::is_uppercase))
}

#[test]
fn every_type_has_a_name_of_its_own() {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for name in std::fs::read_to_string(&path).unwrap().lines().filter_map(defined) {
            owners.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(owners.len() > 200, "the sources were not found");
    owners.retain(|_, files| files.len() > 1);
    assert_eq!(owners, BTreeMap::new(), "give each of them a name that tells it from the others");
}
