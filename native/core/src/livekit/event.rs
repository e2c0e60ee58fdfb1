// SPDX-License-Identifier: Apache-2.0
//! What the library tells, with what it holds for us in hands that let go of it.

use std::slice;
use std::time::Instant;

use super::library::{LibraryHandle, Topic};
use super::wire::{
    audio_stream_event, connect_callback, ffi_event, room_event, rtc_stats, video_stream_event, AudioFrameBufferInfo,
    AudioFrameReceived, DisconnectReason, EncryptionState, InboundRtpStreamStats, OwnedParticipant, OwnedTrack,
    OwnedTrackPublication, ParticipantKind, TrackKind, TrackSource, VideoBufferInfo, VideoBufferType,
    VideoFrameReceived, VideoRotation,
};

/// What one connection to a room hears.
#[derive(Debug)]
pub enum RoomEvent {
    Connected(Result<JoinedRoom, String>),
    News(RoomNews),
    Picture {
        stream: u64,
        picture: RoomPicture,
    },
    Sound {
        stream: u64,
        sound: RoomSound,
    },
    /// Of one track, by the number of the question.
    Figures {
        answer: u64,
        inbound: Option<Box<InboundRtpStreamStats>>,
    },
    /// The library is done with the room that was left.
    Left,
}

/// What happens in a room that somebody is in.
#[derive(Debug)]
pub enum RoomNews {
    ParticipantJoined(Attendee),
    ParticipantLeft {
        identity: String,
    },
    Renamed {
        identity: String,
        name: String,
    },
    Published {
        identity: String,
        publication: Publication,
    },
    Unpublished {
        track: String,
    },
    Subscribed(SubscribedTrack),
    Unsubscribed {
        track: String,
    },
    NotSubscribed {
        identity: String,
        track: String,
        why: String,
    },
    Muted {
        track: String,
        muted: bool,
    },
    /// What somebody sends is decrypted, or is not.
    Decryption {
        identity: String,
        state: EncryptionState,
    },
    Reconnecting,
    Reconnected,
    Disconnected(DisconnectReason),
    /// Nothing follows of this room.
    Ended,
}

#[derive(Debug)]
pub struct JoinedRoom {
    pub(super) handle: LibraryHandle,
    pub(super) _recorder: LibraryHandle,
    pub attendees: Vec<(Attendee, Vec<Publication>)>,
}

/// Somebody in the room.
#[derive(Debug)]
pub struct Attendee {
    _handle: LibraryHandle,
    pub identity: String,
    pub name: String,
    pub kind: ParticipantKind,
}

/// A track that somebody offers.
#[derive(Debug)]
pub struct Publication {
    pub(super) handle: LibraryHandle,
    pub track: String,
    pub source: TrackSource,
    pub is_video: bool,
    /// Of the largest pictures, as their publisher said at first; 0 where it did not.
    pub size: (u32, u32),
    pub muted: bool,
    pub encrypted: bool,
}

/// A track whose media comes.
#[derive(Debug)]
pub struct SubscribedTrack {
    pub(super) handle: LibraryHandle,
    pub track: String,
    pub is_video: bool,
}

/// A picture in three planes of 8 bits, 4:2:0, which the library keeps until this is dropped.
#[derive(Debug)]
pub struct RoomPicture {
    _handle: LibraryHandle,
    info: VideoBufferInfo,
    /// When it is to be shown, in microseconds of the machine's monotonic clock.
    pub shown_at: i64,
    pub came: Instant,
    pub rotation: VideoRotation,
}

/// A block of sound, 16 bits a sample, which the library keeps until this is dropped.
#[derive(Debug)]
pub struct RoomSound {
    _handle: LibraryHandle,
    info: AudioFrameBufferInfo,
    pub came: Instant,
}

impl RoomEvent {
    /// Nobody waits for it any more: a room that was joined after all is left again.
    pub(super) fn come_too_late(self) {
        if let Self::Connected(Ok(room)) = self {
            room.leave();
        }
    }
}

impl RoomPicture {
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.info.width, self.info.height)
    }

    /// The plane's bytes, and how many a line has; 0 is luma at full size, 1 and 2 are chroma at half size.
    #[must_use]
    pub fn plane(&self, index: usize) -> Option<(&[u8], usize)> {
        let plane = self.info.components.get(index).filter(|_| index < 3)?;
        let rows = if index == 0 { self.info.height } else { self.info.height.div_ceil(2) };
        let width = if index == 0 { self.info.width } else { self.info.width.div_ceil(2) };
        let length = usize::try_from(u64::from(plane.stride) * u64::from(rows)).ok()?;
        let fits = plane.stride >= width && plane.size as usize >= length && plane.data_ptr != 0;
        // SAFETY: the library says that so many bytes are there, and keeps them as long as the handle lives, which is as long
        // as self.
        fits.then(|| (unsafe { slice::from_raw_parts(plane.data_ptr as *const u8, length) }, plane.stride as usize))
    }
}

impl RoomSound {
    #[must_use]
    pub fn channels(&self) -> usize {
        self.info.num_channels as usize
    }

    /// The samples of all channels, interleaved.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        let count = self.channels() * self.info.samples_per_channel as usize;
        if self.info.data_ptr == 0 {
            return &[];
        }
        // SAFETY: as in `RoomPicture::plane`; the library's buffers of samples are aligned for them.
        unsafe { slice::from_raw_parts(self.info.data_ptr as *const i16, count) }
    }
}

impl From<OwnedParticipant> for Attendee {
    fn from(participant: OwnedParticipant) -> Self {
        let kind = participant.info.kind();
        let OwnedParticipant { handle, info } = participant;
        Self { _handle: LibraryHandle::owned(handle.id), identity: info.identity, name: info.name, kind }
    }
}

impl From<OwnedTrackPublication> for Publication {
    fn from(OwnedTrackPublication { handle, info }: OwnedTrackPublication) -> Self {
        Self {
            handle: LibraryHandle::owned(handle.id),
            source: info.source(),
            is_video: info.kind() == TrackKind::KindVideo,
            size: (info.width, info.height),
            muted: info.muted,
            encrypted: info.encryption_type != 0,
            track: info.sid,
        }
    }
}

impl From<OwnedTrack> for SubscribedTrack {
    fn from(OwnedTrack { handle, info }: OwnedTrack) -> Self {
        let is_video = info.kind() == TrackKind::KindVideo;
        Self { handle: LibraryHandle::owned(handle.id), track: info.sid, is_video }
    }
}

/// Whom the message is for, and what it says; nothing where it says nothing to us.
pub(super) fn understood(message: ffi_event::Message) -> Option<(Topic, RoomEvent)> {
    use ffi_event::Message;
    match message {
        Message::Connect(callback) => {
            Some((Topic::Answer(callback.async_id), RoomEvent::Connected(joined(callback.message?))))
        }
        Message::RoomEvent(event) => {
            let topic = Topic::Room(event.room_handle);
            Some((topic, RoomEvent::News(news(event.message?))))
        }
        Message::VideoStreamEvent(event) => match event.message? {
            video_stream_event::Message::FrameReceived(frame) => {
                let stream = event.stream_handle;
                Some((Topic::Stream(stream), RoomEvent::Picture { stream, picture: picture(frame)? }))
            }
            video_stream_event::Message::Eos(_) => None,
        },
        Message::AudioStreamEvent(event) => match event.message? {
            audio_stream_event::Message::FrameReceived(AudioFrameReceived { frame }) => {
                let (stream, handle) = (event.stream_handle, LibraryHandle::owned(frame.handle.id));
                Some((
                    Topic::Stream(stream),
                    RoomEvent::Sound {
                        stream,
                        sound: RoomSound { _handle: handle, info: frame.info, came: Instant::now() },
                    },
                ))
            }
            audio_stream_event::Message::Eos(_) => None,
        },
        Message::GetStats(callback) => {
            let answer = callback.async_id;
            let inbound = callback.stats.into_iter().find_map(|stats| match stats.stats? {
                rtc_stats::Stats::InboundRtp(inbound) => Some(Box::new(inbound.inbound)),
            });
            Some((Topic::Answer(answer), RoomEvent::Figures { answer, inbound }))
        }
        Message::Disconnect(callback) => Some((Topic::Answer(callback.async_id), RoomEvent::Left)),
        Message::Panic(panic) => {
            tracing::error!(detail = panic.message, "LiveKit's client library failed");
            None
        }
    }
}

fn joined(message: connect_callback::Message) -> Result<JoinedRoom, String> {
    match message {
        connect_callback::Message::Error(why) => Err(why),
        connect_callback::Message::Result(result) => Ok(JoinedRoom {
            handle: LibraryHandle::owned(result.room.handle.id),
            _recorder: LibraryHandle::owned(result.local_participant.handle.id),
            attendees: result
                .participants
                .into_iter()
                .map(|each| (each.participant.into(), each.publications.into_iter().map(Publication::from).collect()))
                .collect(),
        }),
    }
}

fn news(message: room_event::Message) -> RoomNews {
    use room_event::Message;
    match message {
        Message::ParticipantConnected(event) => RoomNews::ParticipantJoined(event.info.into()),
        Message::ParticipantDisconnected(event) => RoomNews::ParticipantLeft { identity: event.participant_identity },
        Message::ParticipantNameChanged(event) => {
            RoomNews::Renamed { identity: event.participant_identity, name: event.name }
        }
        Message::TrackPublished(event) => {
            RoomNews::Published { identity: event.participant_identity, publication: event.publication.into() }
        }
        Message::TrackUnpublished(event) => RoomNews::Unpublished { track: event.publication_sid },
        Message::TrackSubscribed(event) => RoomNews::Subscribed(event.track.into()),
        Message::TrackUnsubscribed(event) => RoomNews::Unsubscribed { track: event.track_sid },
        Message::TrackSubscriptionFailed(event) => {
            RoomNews::NotSubscribed { identity: event.participant_identity, track: event.track_sid, why: event.error }
        }
        Message::TrackMuted(event) => RoomNews::Muted { track: event.track_sid, muted: true },
        Message::TrackUnmuted(event) => RoomNews::Muted { track: event.track_sid, muted: false },
        Message::E2eeStateChanged(event) => {
            let state = event.state();
            RoomNews::Decryption { identity: event.participant_identity, state }
        }
        Message::Reconnecting(_) => RoomNews::Reconnecting,
        Message::Reconnected(_) => RoomNews::Reconnected,
        Message::Disconnected(event) => RoomNews::Disconnected(event.reason()),
        Message::Eos(_) => RoomNews::Ended,
    }
}

/// A picture of the one form that was asked for.
fn picture(frame: VideoFrameReceived) -> Option<RoomPicture> {
    let rotation = frame.rotation();
    let handle = LibraryHandle::owned(frame.buffer.handle.id);
    let info = frame.buffer.info;
    (info.r#type() == VideoBufferType::I420).then_some(RoomPicture {
        _handle: handle,
        info,
        shown_at: frame.timestamp_us,
        came: Instant::now(),
        rotation,
    })
}
