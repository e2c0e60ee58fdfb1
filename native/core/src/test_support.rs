// SPDX-License-Identifier: Apache-2.0
//! What the unit tests share.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::capture::av::frame::Frame;
use crate::storage::failure::StoreError;
use crate::storage::local_file::LocalFile;
use crate::storage::store::{ObjectKind, Proof, Put, Store};

/// A directory of a test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("cloud-recording-{}", crate::names::random_recording_id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Does<T> = Option<Box<dyn Fn(&str) -> Result<T, StoreError> + Send + Sync>>;
type DoesWithFile<T> = Option<Box<dyn Fn(&str, &Path) -> Result<T, StoreError> + Send + Sync>>;

/// A store that does what a test has it do (of a name), and is asked for nothing else.
#[derive(Default)]
pub struct StoreDouble {
    pub put: Does<Proof>,
    pub get: Does<Vec<u8>>,
    pub get_file: DoesWithFile<String>,
    pub list: Does<Vec<String>>,
}

#[async_trait]
impl Store for StoreDouble {
    async fn put(&self, name: &str, _: ObjectKind, _: Bytes) -> Result<Proof, StoreError> {
        self.put.as_ref().unwrap()(name)
    }

    async fn put_file(&self, _: &str, _: ObjectKind, _: LocalFile<'_>) -> Result<Put, StoreError> {
        unreachable!()
    }

    async fn get(&self, name: &str, _: u64) -> Result<Vec<u8>, StoreError> {
        self.get.as_ref().unwrap()(name)
    }

    async fn get_file(&self, name: &str, _: Option<u64>, path: &Path) -> Result<String, StoreError> {
        self.get_file.as_ref().unwrap()(name, path)
    }

    async fn list(&self, prefix: &str, _: &str) -> Result<Vec<String>, StoreError> {
        self.list.as_ref().unwrap()(prefix)
    }

    async fn try_out(&self, _: &str) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        unreachable!()
    }
}

/// Answers with these, one a connection; returns its URL, and what it was asked: request line and headers, in lower case.
pub fn server(answers: Vec<(u16, String)>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (requests, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut request = String::new();
            while reader.read_line(&mut request).unwrap() > 2 {}
            let length = request
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split_whitespace().next().unwrap().parse::<u64>().unwrap());
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
            let _ = requests.send(request);
            let status_line =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            (&stream).write_all(format!("{status_line}{body}").as_bytes()).unwrap();
        }
    });
    (url, heard)
}

/// A picture of noise.
pub fn noisy_picture(width: u32, height: u32) -> Frame {
    let mut picture = Frame::i420(width, height).expect("a picture");
    let mut noise = noise();
    for index in 0..3 {
        picture.plane_mut(index).expect("a plane").0.fill_with(|| noise.next().expect("noise"));
    }
    picture
}

/// Bytes without a pattern, the same each time.
pub fn noise() -> impl Iterator<Item = u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(next(&1), next).map(|state| state.to_le_bytes()[3])
}
