// SPDX-License-Identifier: Apache-2.0
//! A LiveKit room as a kind of channel: the recorder joins it, takes what people send, and comes back where it can.
//!
//! One thread: it hears what happens in the room and hands on the media. How pictures and sound are decoded, and how a
//! connection is made again, is LiveKit's own library's affair (`livekit`).

mod decryption;
mod held_back;
mod liveness;
mod picture_clock;
mod seating;
mod selection;
mod sound_clock;
mod trouble;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::api::{CaptureConfig, CaptureEvent, RoomAccess, RoomSource, SecretText, VideoStream};
use super::fault::Fatal;
use super::intake::{ChannelKind, Intake, MediaWarnings};
use super::reconnect::ReconnectPauses;
use super::source::Guard;
use crate::livekit::client::RoomClient;
use crate::livekit::{token, ClientLibrary};
pub use decryption::Undecrypted;
use seating::Seating;
pub use selection::{RoomMedia, RoomParticipants, RoomSelection};
use trouble::{Pass, RoomTrouble};
use visit::Visit;

const SCHEMES: [&str; 4] = ["ws", "wss", "http", "https"];

/// A server that answers nothing for so long is not there.
const JOIN: Duration = Duration::from_secs(20);

/// The participants of a room.
pub struct RoomChannel<'a> {
    pub source: &'a RoomSource,
    pub config: &'a CaptureConfig,
}

impl ChannelKind for RoomChannel<'_> {
    fn start(&self, intake: &Intake) -> Result<(), Fatal> {
        let mut attendance = RoomAttendance::new(self.source.clone(), self.config, intake.clone());
        intake.spawn("room", move || {
            attendance.run();
            Ok(())
        })
    }
}

/// The recorder's coming to a room, again and again.
struct RoomAttendance {
    source: RoomSource,
    /// Where the server may be.
    guard: Guard,
    intake: Intake,
    video: VideoStream,
    seating: Seating,
    /// What was told of each participant's media; it outlasts connections.
    warnings: BTreeMap<u32, Arc<MediaWarnings>>,
    /// What keeps the recorder out, as it was told last.
    told: Option<RoomTrouble>,
}

impl RoomAttendance {
    fn new(source: RoomSource, config: &CaptureConfig, intake: Intake) -> Self {
        let guard = Guard::new(&SCHEMES.map(str::to_owned), config.allow_link_local);
        let guard = guard.among(&config.allowed_hosts).until(intake.stop());
        let seating = Seating::new(intake.media().kinds, source.selection.clone(), source.recorder_uid);
        Self { source, guard, intake, video: config.video_stream, seating, warnings: BTreeMap::new(), told: None }
    }

    /// Until the stop, or until the recorder is not to come back.
    fn run(&mut self) {
        let clock = Arc::clone(self.intake.clock());
        let mut pauses = ReconnectPauses::new();
        while !self.intake.stop().is_raised() {
            let began = clock.now();
            let (trouble, lasted) = match self.join() {
                Err(trouble) => (trouble, None),
                Ok(mut visit) => {
                    let Some(reason) = visit.stay() else { return };
                    let trouble = RoomTrouble::of_leaving(reason);
                    visit.end(&trouble);
                    if trouble.refused {
                        self.intake.event(CaptureEvent::ThrownOut { message: trouble.message });
                        return;
                    }
                    (trouble, Some(clock.now() - began))
                }
            };
            if self.intake.stop().is_raised() {
                return;
            }
            self.tell(trouble);
            clock.wait_until(clock.now() + pauses.after(lasted), self.intake.stop());
        }
    }

    fn join(&mut self) -> Result<Visit<'_>, RoomTrouble> {
        let library = ClientLibrary::load().map_err(|absent| RoomTrouble::refused(absent.to_string()))?;
        self.guard.check(&self.source.url).map_err(|refusal| RoomTrouble::of_address(&refusal))?;
        let (token, pass) = self.token()?;
        let stop = Arc::clone(self.intake.stop());
        let key = self.source.shared_key.as_ref().map(|key| read(key, "the shared key")).transpose()?;
        let at = (self.source.url.as_str(), token.as_str());
        let joined = RoomClient::join(library, at, key.as_deref(), JOIN, || !stop.is_raised());
        let (client, attendees) = joined.map_err(|failure| RoomTrouble::of_joining(&failure, pass))?;
        self.reached();
        Ok(Visit::new(client, attendees, self))
    }

    /// A new token for each join, or the one that was given; by what is in the files of either now.
    fn token(&self) -> Result<(String, Pass), RoomTrouble> {
        let now = SystemTime::now();
        match &self.source.access {
            RoomAccess::Key { key, secret } => {
                let (key, secret) = (read(key, "the API key")?, read(secret, "the API key's secret")?);
                Ok((token::mint((key.trim(), secret.trim()), &self.source.admission, now), Pass::Key))
            }
            RoomAccess::Token(token) => {
                let token = read(token, "the token")?.trim().to_owned();
                token::check(&token, &self.source.admission.room, now)
                    .map(|()| (token, Pass::Token))
                    .map_err(|fault| RoomTrouble::refused(format!("the token {fault}")))
            }
        }
    }

    fn warnings(&mut self, uid: u32) -> Arc<MediaWarnings> {
        Arc::clone(self.warnings.entry(uid).or_default())
    }

    fn reached(&mut self) {
        self.told = None;
        self.intake.event(CaptureEvent::ChannelReached);
    }

    /// Tells what keeps the recorder out, where it is another thing than before.
    fn tell(&mut self, trouble: RoomTrouble) {
        if self.told.as_ref() != Some(&trouble) {
            let RoomTrouble { refused, message } = trouble.clone();
            self.intake.event(CaptureEvent::ChannelUnreached { refused, message });
            self.told = Some(trouble);
        }
    }
}

fn read(secret: &SecretText, what: &str) -> Result<String, RoomTrouble> {
    secret.read().map_err(|error| RoomTrouble::unreadable(what, &error))
}
