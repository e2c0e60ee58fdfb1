// SPDX-License-Identifier: Apache-2.0
//! What fuzzing found stays mended: every target of `make fuzz` holds for each input of its corpus, and for what a few
//! seconds of blind changes make of it.

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Coverage is what finds things; this only notices when nothing works.
const BLINDLY: Duration = Duration::from_secs(2);

fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&corpus).expect("a corpus").map(|entry| entry.unwrap().path());
    let inputs: Vec<Vec<u8>> = entries.map(|path| fs::read(path).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", corpus.display());
    inputs.iter().for_each(|input| target(input));
    let (mut random, started) = (StdRng::seed_from_u64(1), Instant::now());
    while started.elapsed() < BLINDLY {
        let mut input = inputs[random.random_range(0..inputs.len())].clone();
        for _ in 0..random.random_range(1..8) {
            let place = random.random_range(0..=input.len());
            match random.random_range(0..3) {
                0 if place < input.len() => input[place] = random.random(),
                1 if place < input.len() => drop(input.remove(place)),
                _ => input.insert(place, random.random()),
            }
        }
        target(&input);
    }
}

#[test]
fn configurations() {
    replay("configuration", targets::configuration::run);
}

#[test]
fn urls() {
    replay("url", targets::url::run);
}

#[test]
fn sources() {
    replay("source", targets::source::run);
}

#[test]
fn remains_of_a_crash() {
    replay("remains", targets::remains::run);
}

#[test]
fn parts_of_a_recording() {
    replay("parts", targets::parts::run);
}
