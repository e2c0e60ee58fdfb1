// SPDX-License-Identifier: Apache-2.0
//! A channel whose streams change while it is recorded: who is added joins, who is removed leaves, and nothing is lost.

mod capture_support;

use std::time::Duration;

use capture_support::servers::{free_udp_port, MediaServer};
use capture_support::*;
use cloud_recording_core::capture::api::{CaptureEvent, StreamSource};

/// What happened to one participant.
fn story(told: &Told, of: u32) -> Vec<String> {
    let words = |event: &CaptureEvent| match event {
        CaptureEvent::Expected { uid, name, .. } if *uid == of => Some(format!("expected {name:?}")),
        CaptureEvent::Joined { uid, .. } if *uid == of => Some("joined".to_owned()),
        CaptureEvent::Left { uid, lost, message, .. } if *uid == of => Some(format!("left {lost} {message}")),
        CaptureEvent::Dismissed { uid } if *uid == of => Some("dismissed".to_owned()),
        _ => None,
    };
    told.events.iter().filter_map(words).collect()
}

fn dismissed(uid: u32) -> impl Fn(&Told) -> Option<()> {
    move |told| told.events.contains(&CaptureEvent::Dismissed { uid }).then_some(())
}

const REMOVED: &str = "left false was taken out of the channel's streams";

#[test]
fn participants_are_added_and_removed_without_a_gap() {
    let scratch = Scratch::new("edited");
    let server = MediaServer::start(&scratch);
    let [blue, red] = [server.rtmp_url("blue"), server.rtmp_url("red")];
    let _blue = publish("blue", 880, &format!("-f flv {blue}"));
    let _red = publish("red", 440, &format!("-f flv {red}"));
    let mut configuration = config(&scratch.path("work"), &[&blue, &red]);
    configuration.slice = Duration::from_secs(2);
    let second = configuration.sources.pop().expect("two sources");
    let first = configuration.sources[0].clone();
    let (capture, memory) = start(configuration);
    memory.wait_for("the first to join", joined(1));
    let added = StreamSource { name: Some("red".to_owned()), ..second };
    capture.set_streams(&[first.clone(), added.clone()]).unwrap();
    memory.wait_for("the second to join", joined(2));
    record_for(&capture, Duration::from_secs(3));
    let both = capture.figures().position.as_secs_f64();
    capture.set_streams(&[StreamSource { name: Some("blue".to_owned()), ..first }]).unwrap();
    memory.wait_for("the second to be gone", dismissed(2));
    record_for(&capture, Duration::from_secs(3));
    let alone = capture.figures().position.as_secs_f64();
    capture.stop();
    let told = memory.take();
    assert_eq!(story(&told, 1), ["joined", "expected Some(\"blue\")"], "who stays is not touched");
    assert_eq!(story(&told, 2), ["expected Some(\"red\")", "joined", REMOVED, "dismissed"]);
    assert!(!told.events.iter().any(|event| matches!(event, CaptureEvent::Gap { .. } | CaptureEvent::Broken(_))));
    assert_unbroken(&told);
    let file = joined_file(&scratch, &told.closed);
    assert!(times(&file, "v").windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 0.5));
    assert!(alike(colour_at(&picture(&file, both - 0.3), 320, 240, 120), [254, 0, 0]), "in the right half");
    assert!(alike(colour_at(&picture(&file, alone - 0.3), 320, 240, 120), [0, 0, 254]), "alone on the canvas");
}

#[test]
fn who_gets_another_url_leaves_and_comes_again() {
    let scratch = Scratch::new("moved");
    let urls = [(); 2].map(|()| format!("udp://127.0.0.1:{}", free_udp_port()));
    let _red = publish("red", 440, &format!("-f mpegts {}", urls[0]));
    let _blue = publish("blue", 880, &format!("-f mpegts {}", urls[1]));
    let configuration = config(&scratch.path("work"), &[&urls[0]]);
    let source = configuration.sources[0].clone();
    let (capture, memory) = start(configuration);
    memory.wait_for("the participant to join", joined(1));
    let moved = StreamSource { url: urls[1].clone(), ..source };
    capture.set_streams(std::slice::from_ref(&moved)).unwrap();
    memory.wait_for("it to come again", |told| (story(told, 1).len() >= 4).then_some(()));
    capture.set_streams(&[moved]).unwrap();
    record_for(&capture, Duration::from_secs(2));
    let end = capture.figures().position.as_secs_f64();
    capture.stop();
    let told = memory.take();
    assert_eq!(story(&told, 1), ["joined", "left false the stream was changed", "expected None", "joined"]);
    let file = joined_file(&scratch, &told.closed);
    assert!(alike(colour_at(&picture(&file, end - 0.3), 320, 160, 120), [0, 0, 254]));
}

#[test]
fn who_is_not_there_yet_is_dismissed_at_once_and_may_be_named_again() {
    let scratch = Scratch::new("renamed");
    let server = MediaServer::start(&scratch);
    let [blue, never] = [server.rtmp_url("blue"), server.rtmp_url("never")];
    let _blue = publish("blue", 880, &format!("-f flv {blue}"));
    let configuration = config(&scratch.path("work"), &[&blue, &never]);
    let sources = configuration.sources.clone();
    let (capture, memory) = start(configuration);
    memory.wait_for("the first to join", joined(1));
    memory.wait_for("the second to be refused", |told| {
        told.events.iter().find(|event| matches!(event, CaptureEvent::Unavailable { uid: 2, .. })).map(drop)
    });
    capture.set_streams(&sources[..1]).unwrap();
    capture.set_streams(&sources).unwrap();
    memory.wait_for("the second to be waited for again", |told| (story(told, 2).len() >= 2).then_some(()));
    capture.stop();
    assert_eq!(story(&memory.take(), 2), ["dismissed", "expected None"], "one after the other");
}
