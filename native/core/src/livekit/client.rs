// SPDX-License-Identifier: Apache-2.0
//! One connection to one room, as somebody who only listens.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::event::{Attendee, JoinedRoom, Publication, RoomEvent, RoomNews, SubscribedTrack};
use super::library::{ignore, listen, next_answer, ClientLibrary, LibraryHandle, Listener, Topic};
use super::wire::{
    e2ee_request, ffi_request, ffi_response, AudioStreamType, ConnectRequest, DisconnectReason, DisconnectRequest,
    E2eeOptions, E2eeRequest, EncryptionType, GetStatsRequest, KeyDerivationFunction, KeyProviderOptions,
    NewAudioStreamRequest, NewVideoStreamRequest, ReadyForRoomEventRequest, RoomOptions,
    SetRemoteTrackPublicationQualityRequest, SetSharedKeyRequest, SetSubscribedRequest,
    UpdateRemoteTrackPublicationDimensionRequest, VideoBufferType, VideoQuality, VideoStreamType,
};

/// How many samples a second a stream of sound has.
pub const SAMPLE_RATE: u32 = 48_000;

/// How long the library may take to let go of a room.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all clients have in common unless they are told otherwise.
const RATCHET_SALT: &[u8] = b"LKFrameEncryptionKey";
const KEY_RING_SIZE: i32 = 16;

/// The shared key's own in the ring of keys.
const KEY_INDEX: i32 = 0;

/// After so many packets that cannot be decrypted the library says so; without a limit it never does.
const FAILURE_TOLERANCE: i32 = 10;

/// How often it is looked whether what is waited for is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// A room that is being listened to. Dropping it leaves the room.
pub struct RoomClient {
    library: &'static ClientLibrary,
    room: LibraryHandle,
    listener: Listener,
    events: Receiver<RoomEvent>,
    /// Nothing follows of the room.
    ended: bool,
}

/// Media of a track that comes as events. Dropping it ends that.
#[derive(Debug)]
pub struct TrackStream {
    stream: LibraryHandle,
    track: SubscribedTrack,
}

/// Who is in a room when it is joined, and what they offer.
pub type Attendees = Vec<(Attendee, Vec<Publication>)>;

/// Why a room was not joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinFailure {
    /// What the library says of it.
    Failed(String),
    TimedOut,
    Stopped,
}

/// Events that nobody waits for any more are dropped.
struct Listening(Topic);

impl Drop for Listening {
    fn drop(&mut self) {
        ignore(self.0);
    }
}

impl RoomClient {
    /// Joins the room that the token is for; returns it with who is there. `goes_on` is asked now and then. With a
    /// shared key, what is encrypted end to end is decrypted.
    ///
    /// # Errors
    /// When the server cannot be reached or says no, or nothing came of it in time.
    pub fn join(
        library: &'static ClientLibrary,
        (url, token): (&str, &str),
        shared_key: Option<&str>,
        limit: Duration,
        goes_on: impl Fn() -> bool,
    ) -> Result<(Self, Attendees), JoinFailure> {
        let (listener, events) = Listener::new();
        let answer = next_answer();
        listen(Topic::Answer(answer), &listener);
        let _listening = Listening(Topic::Answer(answer));
        library.ask(ffi_request::Message::Connect(ConnectRequest {
            url: url.to_owned(),
            token: token.to_owned(),
            options: RoomOptions {
                auto_subscribe: Some(false),
                encryption: shared_key.map(encryption),
                ..RoomOptions::default()
            },
            request_async_id: Some(answer),
        }));
        let deadline = Instant::now() + limit;
        let JoinedRoom { handle, attendees, .. } = loop {
            match events.recv_timeout(GLANCE) {
                Ok(RoomEvent::Connected(connected)) => break connected.map_err(JoinFailure::Failed)?,
                _ if !goes_on() => return Err(JoinFailure::Stopped),
                _ if Instant::now() > deadline => return Err(JoinFailure::TimedOut),
                _ => {}
            }
        };
        listen(Topic::Room(handle.number()), &listener);
        let room_handle = handle.number();
        library.ask(ffi_request::Message::ReadyForRoomEvent(ReadyForRoomEventRequest { room_handle }));
        Ok((Self { library, room: handle, listener, events, ended: false }, attendees))
    }

    /// What happens next in the room, if it does within this time.
    pub fn next(&mut self, within: Duration) -> Option<RoomEvent> {
        let event = self.events.recv_timeout(within).ok()?;
        self.listener.heard(&event);
        self.ended |= matches!(event, RoomEvent::News(RoomNews::Ended));
        Some(event)
    }

    /// Has the media of a track sent, or not any more.
    pub fn subscribe(&self, publication: &Publication, subscribe: bool) {
        let publication_handle = publication.handle.number();
        let request = SetSubscribedRequest { subscribe, publication_handle };
        self.library.ask(ffi_request::Message::SetSubscribed(request));
    }

    /// Of a track that is sent in several sizes, has the smallest sent.
    pub fn prefer_smallest(&self, publication: &Publication) {
        let track_publication_handle = publication.handle.number();
        let quality = VideoQuality::Low.into();
        let request = SetRemoteTrackPublicationQualityRequest { track_publication_handle, quality };
        self.library.ask(ffi_request::Message::SetRemoteTrackPublicationQuality(request));
    }

    /// Decrypts with this key from now on. Of whom too much failed, the library tries nothing more before it is told one,
    /// be it the same; it takes tens of milliseconds for each participant.
    pub fn set_shared_key(&self, key: &str) {
        let message = e2ee_request::Message::SetSharedKey(SetSharedKeyRequest {
            shared_key: key.as_bytes().to_owned(),
            key_index: KEY_INDEX,
        });
        let request = E2eeRequest { room_handle: self.room.number(), message: Some(message) };
        self.library.ask(ffi_request::Message::E2ee(request));
    }

    /// Of a track that is sent in several sizes, has the smallest sent that is no smaller than this.
    pub fn prefer_size(&self, publication: &Publication, (width, height): (u32, u32)) {
        let track_publication_handle = publication.handle.number();
        let request = UpdateRemoteTrackPublicationDimensionRequest { track_publication_handle, width, height };
        self.library.ask(ffi_request::Message::UpdateRemoteTrackPublicationDimension(request));
    }

    /// The media of a subscribed track, which comes as events of this stream.
    pub fn stream(&self, track: SubscribedTrack, channels: u32) -> Option<TrackStream> {
        let track_handle = track.handle.number();
        let request = if track.is_video {
            ffi_request::Message::NewVideoStream(NewVideoStreamRequest {
                track_handle,
                r#type: VideoStreamType::VideoStreamNative.into(),
                format: Some(VideoBufferType::I420.into()),
                normalize_stride: Some(false),
                queue_size_frames: None,
            })
        } else {
            ffi_request::Message::NewAudioStream(NewAudioStreamRequest {
                track_handle,
                r#type: AudioStreamType::AudioStreamNative.into(),
                sample_rate: Some(SAMPLE_RATE),
                num_channels: Some(channels),
                ..NewAudioStreamRequest::default()
            })
        };
        let handle = match self.library.ask(request)? {
            ffi_response::Message::NewVideoStream(response) => response.stream.handle,
            ffi_response::Message::NewAudioStream(response) => response.stream.handle,
            _ => return None,
        };
        listen(Topic::Stream(handle.id), &self.listener);
        Some(TrackStream { stream: LibraryHandle::owned(handle.id), track })
    }

    /// Asks for figures of the track; returns the number of the question. The answer is an event.
    pub fn ask_figures(&self, stream: &TrackStream) -> u64 {
        let answer = next_answer();
        listen(Topic::Answer(answer), &self.listener);
        let request = GetStatsRequest { track_handle: stream.track.handle.number(), request_async_id: Some(answer) };
        self.library.ask(ffi_request::Message::GetStats(request));
        answer
    }
}

/// As LiveKit's own clients do it unless they are told otherwise: AES-GCM with a key that is derived from a passphrase by
/// PBKDF2.
fn encryption(shared_key: &str) -> E2eeOptions {
    E2eeOptions {
        encryption_type: EncryptionType::Gcm.into(),
        key_provider_options: KeyProviderOptions {
            shared_key: Some(shared_key.as_bytes().to_owned()),
            ratchet_salt: RATCHET_SALT.to_vec(),
            // To try sixteen keys for each packet takes a core and a half, and finds only what a sender ratchets by hand.
            ratchet_window_size: 0,
            failure_tolerance: FAILURE_TOLERANCE,
            key_ring_size: KEY_RING_SIZE,
            key_derivation_function: KeyDerivationFunction::Pbkdf2.into(),
        },
    }
}

/// The answer with this number has come, or is not waited for.
pub fn forget_question(answer: u64) {
    ignore(Topic::Answer(answer));
}

impl JoinedRoom {
    /// Leaves a room that nobody listens to.
    pub(super) fn leave(self) {
        if let Ok(library) = ClientLibrary::load() {
            library.ask(leaving(self.handle.number(), None));
        }
    }
}

fn leaving(room_handle: u64, request_async_id: Option<u64>) -> ffi_request::Message {
    let reason = Some(DisconnectReason::ClientInitiated.into());
    ffi_request::Message::Disconnect(DisconnectRequest { room_handle, request_async_id, reason })
}

impl Drop for RoomClient {
    fn drop(&mut self) {
        let answer = next_answer();
        listen(Topic::Answer(answer), &self.listener);
        let _listening = Listening(Topic::Answer(answer));
        let room = Listening(Topic::Room(self.room.number()));
        self.library.ask(leaving(self.room.number(), Some(answer)));
        let (deadline, mut left) = (Instant::now() + FAREWELL, false);
        while !(left && self.ended) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(RoomEvent::Left) => left = true,
                Ok(RoomEvent::News(RoomNews::Ended)) => self.ended = true,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(room);
    }
}

impl TrackStream {
    #[must_use]
    pub fn number(&self) -> u64 {
        self.stream.number()
    }

    #[must_use]
    pub fn is_video(&self) -> bool {
        self.track.is_video
    }
}

impl Drop for TrackStream {
    fn drop(&mut self) {
        ignore(Topic::Stream(self.stream.number()));
    }
}
