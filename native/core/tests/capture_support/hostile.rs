// SPDX-License-Identifier: Apache-2.0
//! Servers and files that mean harm. All on loopback.

use crc::{Crc, CRC_32_MPEG_2};
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;

/// A server that answers each request with what `answer` writes, given the request's path, over connections that stay.
pub struct Server {
    pub port: u16,
    address: Ipv4Addr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&str, &mut TcpStream) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, answer)
    }

    pub fn start_at(
        address: Ipv4Addr,
        answer: impl Fn(&str, &mut TcpStream) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        assert!(address.is_loopback());
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().unwrap().port();
        let (requests, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
        let heads = Arc::clone(&requests);
        // Ends with the process: a listener that nobody connects to any more waits in `accept`.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer, heads) = (stream.expect("a connection"), Arc::clone(&answer), heads.clone());
                thread::spawn(move || serve(stream, &*answer, &heads));
            }
        });
        Self { port, address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}:{}/{path}", self.address, self.port)
    }

    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// The head of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &mut TcpStream) -> Result<()>, requests: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a connection"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            // Whoever hangs up has what it wanted.
            if !matches!(reader.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        requests.lock().unwrap().push(head);
        if answer(&path, &mut stream).is_err() {
            return;
        }
    }
}

/// A whole answer, after which the connection goes on.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// Headers of an answer whose body ends with the connection, if it ends.
pub fn begin(stream: &mut TcpStream, headers: &str) -> Result<()> {
    write!(stream, "HTTP/1.0 200 OK\r\n{headers}\r\n")
}

/// Writes the same again and again, until the other end has had enough.
pub fn for_ever(stream: &mut TcpStream, what: &[u8]) -> Result<()> {
    let block: Vec<u8> = what.iter().copied().cycle().take(what.len() * (1 + (64 << 10) / what.len())).collect();
    loop {
        stream.write_all(&block)?;
    }
}

/// Holds the connection and says nothing.
pub fn hold() -> Result<()> {
    thread::sleep(PATIENCE);
    Ok(())
}

pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    next.take(length).collect()
}

/// Sound of a shape that no microphone has: silence of `rate` and `channels`, as a WAV file of two seconds.
pub fn wav(rate: u32, channels: u16) -> Vec<u8> {
    let block = u32::from(channels) * 2;
    let length = rate * block * 2;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((length + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * block).to_le_bytes());
    file.extend((block as u16).to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.resize(file.len() + length as usize, 0);
    file
}

/// A transport stream that announces a thousand streams and sends none of them: PAT, PMT, null packets.
pub fn thousand_streams() -> Vec<u8> {
    let mut stream = Vec::new();
    // Sections hold at most 1021 bytes, so that each program has 200 streams.
    let programs: Vec<u16> = (1..=5).collect();
    let pat = programs.iter().flat_map(|program| [program.to_be_bytes(), (0xe100 + program).to_be_bytes()].concat());
    stream.extend(section(0, 0, 1, &pat.collect::<Vec<_>>()));
    for program in programs {
        let entries = (0..200_u16).flat_map(|index| {
            let pid = 0xe000 | (0x200 + program * 200 + index);
            [&[0x1b][..], &pid.to_be_bytes(), &[0xf0, 0]].concat()
        });
        let body = [&[0xff, 0xff, 0xf0, 0][..], &entries.collect::<Vec<_>>()].concat();
        stream.extend(section(0x100 + program, 2, program, &body));
    }
    stream.extend(null_packet().repeat(50));
    stream
}

pub fn null_packet() -> Vec<u8> {
    let mut packet = vec![0x47, 0x1f, 0xff, 0x10];
    packet.resize(188, 0xff);
    packet
}

/// A section of program information in as many packets as it takes.
fn section(pid: u16, table: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 9;
    let mut section = vec![table, 0xb0 | (length >> 8) as u8, length as u8];
    section.extend(id.to_be_bytes());
    section.extend([0xc1, 0, 0]);
    section.extend(body);
    section.extend(crc(&section).to_be_bytes());
    let payload = [&[0][..], &section].concat();
    let packets = payload.chunks(184).enumerate().flat_map(|(index, chunk)| {
        let start = if index == 0 { 0x40 } else { 0 };
        let mut packet = vec![0x47, start | (pid >> 8) as u8, pid as u8, 0x10 | (index & 15) as u8];
        packet.extend(chunk);
        packet.resize(188, 0xff);
        packet
    });
    packets.collect()
}

fn crc(bytes: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_MPEG_2).checksum(bytes)
}

/// An MP4 header of `tracks` tracks that claim more samples than there is room for, in a few bytes each.
pub fn sample_bomb(tracks: u32, samples: u32) -> Vec<u8> {
    let full = |kind: &str, body: &[u8]| atom(kind, &[&[0; 4][..], body].concat());
    let words = |values: &[u32]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>();
    let header = full("mvhd", &[words(&[0, 0, 1000, 1000, 0x1_0000]), vec![0; 76]].concat());
    let track = |number: u32| {
        let entry = atom("avc1", &[vec![0; 24], vec![0, 16, 0, 16], vec![0; 50]].concat());
        let table = [
            full("stsd", &[words(&[1]), entry].concat()),
            full("stts", &words(&[1, samples, 1])),
            full("stsc", &words(&[1, 1, samples, 1])),
            full("stsz", &words(&[1, samples])),
            full("stco", &words(&[1, 0])),
        ];
        let minf = atom("minf", &[full("vmhd", &[0; 8]), atom("stbl", &table.concat())].concat());
        let media =
            [full("mdhd", &words(&[0, 0, 1000, 1000, 0])), full("hdlr", &[&[0; 4][..], b"vide", &[0; 13]].concat())];
        let mdia = atom("mdia", &[media.concat(), minf].concat());
        atom("trak", &[full("tkhd", &[words(&[0, 0, number]), vec![0; 68]].concat()), mdia].concat())
    };
    let tracks: Vec<u8> = (1..=tracks).flat_map(track).collect();
    let moov = atom("moov", &[header, tracks].concat());
    [atom("ftyp", b"isom\0\0\0\0isom"), moov, atom("mdat", &[0; 4096])].concat()
}

fn atom(kind: &str, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind.as_bytes(), body].concat()
}

/// Gives every unit of media in a transport stream a time of its own choosing.
pub fn with_wild_times(mut stream: Vec<u8>) -> Vec<u8> {
    let wild = noise(stream.len() / 188 * 4);
    for (packet, time) in stream.chunks_exact_mut(188).zip(wild.chunks_exact(4)) {
        let adaptation = if packet[3] & 0x20 == 0 { 0 } else { 1 + usize::from(packet[4]) };
        let start = 4 + adaptation;
        if packet[1] & 0x40 == 0 || packet.len() < start + 14 || packet[start..start + 3] != [0, 0, 1] {
            continue;
        }
        let stamp = &mut packet[start + 9..start + 14];
        stamp[0] = stamp[0] & 0xf0 | time[0] & 0x0e | 1;
        stamp[1] = time[1];
        stamp[2] = time[2] | 1;
        stamp[3] = time[3];
    }
    stream
}
