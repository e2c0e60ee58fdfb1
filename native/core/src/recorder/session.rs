// SPDX-License-Identifier: Apache-2.0
//! One recording under way: a thread of its own that feeds the state machine with what happens, and carries out its
//! actions. The recording's capture and upload live and end with it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::capture::api::{CaptureConfig, CaptureEvent, StreamSource, UtcMillis};
use crate::catalog::ledger::Ledger;
use crate::catalog::record::{Expected, Record};
use crate::catalog::Catalog;
use crate::error::{Code, Error};
use crate::log;
use crate::names;
use crate::recorder::attendance::Attendance;
use crate::recorder::callbacks::{Callback, CallbackSender};
use crate::recorder::capturing::{Capturing, Start};
use crate::recorder::machine::{Action, Machine, Pause, State, UploadEvent};
use crate::recorder::participants::Participants;
use crate::recorder::pauses::Pauses;
use crate::recorder::recording_log;
use crate::recorder::resume::{self, Opened, PreviousRun};
use crate::recorder::shared::{Control, RecordingTraits, Shared};
use crate::recorder::sink::Sink;
use crate::recorder::start::Plan;
use crate::recorder::upload::probe_cleanup::ProbeCleanup;
use crate::recorder::upload::progress::percent;
use crate::recorder::upload::slice_store::SliceStore;
use crate::recorder::upload::uploader::{Uploader, UploaderInbox};
use crate::recorder::volume::Volume;

const TICK: Duration = Duration::from_millis(500);

/// More than this between two ticks is a standstill of the process.
const LONGEST_TICK: Duration = Duration::from_secs(2);
const PROGRESS: Duration = Duration::from_secs(60);
const LAST_WORDS: Duration = Duration::from_secs(1);

pub struct Session {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    machine: Machine,
    callbacks: CallbackSender,
    start_capture: Start,
    /// What to capture, until capture has started; nothing where an earlier process had stopped the recording.
    capture_config: Option<CaptureConfig>,
    capture: Option<Box<dyn Capturing>>,
    stopping: Option<JoinHandle<UtcMillis>>,
    wanted: SessionMode,
    pauses: Pauses,
    attendance: Attendance,
    uploader: Option<Uploader>,
    probe_cleanup: ProbeCleanup,
    wake_uploader: Arc<watch::Sender<()>>,
    /// The catalog cannot be written.
    broken: bool,
    directory: PathBuf,
    keep_directory: bool,
    volume: Volume,
    /// Whether room on the volume gets scarce.
    tight: watch::Sender<bool>,
    /// How many slices were removed to make room.
    shed: usize,
    control: UnboundedReceiver<Control>,
    events: UnboundedReceiver<CaptureEvent>,
    upload_events: UnboundedReceiver<UploadEvent>,
    sink: Arc<Sink>,
}

/// What the program wants of the recorder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionMode {
    /// To record and upload, and to tell of it.
    All,
    /// Nobody listens any more; what was recorded is still uploaded.
    Upload,
    /// Neither to record nor to upload any more.
    Nothing,
}

impl Session {
    /// A session for the plan, its catalog opened; the recording begins with `run`.
    pub fn new(
        shared: Arc<Shared>,
        mut plan: Plan,
        callbacks: CallbackSender,
        start_capture: Start,
    ) -> Result<Self, Error> {
        let Opened { catalog, past, begun, earliest } = resume::open(&plan.directory, &plan.begun, wall_clock())?;
        plan.continue_from(&begun, earliest);
        let machine = machine(&plan, &catalog.ledger(), past);
        shared.begin_as(RecordingTraits {
            passed_through: plan.capture.passthrough.is_some(),
            room: plan.capture.room.is_some(),
            protocols: plan.capture.protocols.clone(),
            uid: plan.uid,
        });
        // Before anybody can ask for a stop.
        shared.publish(&machine, None);
        let catalog = Arc::new(catalog);
        let (wake_uploader, wake) = watch::channel(());
        let wake_uploader = Arc::new(wake_uploader);
        let (to_control, control) = mpsc::unbounded_channel();
        let (to_events, events) = mpsc::unbounded_channel();
        let (to_upload_events, upload_events) = mpsc::unbounded_channel();
        // A recorder starts once, so nobody has set it before.
        let _ = shared.control.set(to_control);
        shared.show_catalog(Arc::clone(&catalog));
        let (to_moves, moves) = mpsc::unbounded_channel();
        let _ = shared.moves.set(to_moves);
        let (tight, gets_tight) = watch::channel(false);
        let uploader = uploader(&plan, &catalog, to_upload_events, UploaderInbox { wake, moves, tight: gets_tight });
        let probe_cleanup = ProbeCleanup { credentials: uploader.credentials.clone(), catalog: Arc::clone(&catalog) };
        let sink = Sink { catalog: Arc::clone(&catalog), uploader: Arc::clone(&wake_uploader), events: to_events };
        Ok(Self {
            shared,
            catalog,
            machine,
            callbacks,
            start_capture,
            capture_config: (past != PreviousRun::Stopped).then_some(plan.capture),
            capture: None,
            stopping: None,
            wanted: SessionMode::All,
            pauses: Pauses::default(),
            attendance: Attendance::default(),
            uploader: Some(uploader),
            probe_cleanup,
            wake_uploader,
            shed: 0,
            broken: false,
            keep_directory: plan.keep_directory,
            volume: Volume::new(plan.volume),
            tight,
            directory: plan.directory,
            control,
            events,
            upload_events,
            sink: Arc::new(sink),
        })
    }

    /// Records and uploads; returns when both are over, or nobody waits for that any more: then true.
    pub async fn run(mut self) -> bool {
        self.begin();
        let uploading = self.uploader.take().map(Uploader::run);
        let mut uploading = pin!(optional(uploading));
        let mut uploaded = false;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut progress = tokio::time::interval_at(Instant::now() + PROGRESS, PROGRESS);
        let mut last_tick = Instant::now();
        loop {
            self.carry_out_actions();
            if self.stopping.is_none() && self.capture.is_none() && (uploaded || self.is_given_up()) {
                break;
            }
            tokio::select! {
                Some(control) = self.control.recv() => self.control(control),
                Some(event) = self.events.recv() => self.event(&event),
                Some(event) = self.upload_events.recv() => self.upload_event(event),
                at = stopped(&mut self.stopping) => self.capture_ended(at),
                () = &mut uploading, if !uploaded && self.wanted != SessionMode::Nothing => uploaded = true,
                now = tick.tick() => {
                    self.tick(now - last_tick);
                    last_tick = now;
                }
                _ = progress.tick() => self.progress(),
            }
        }
        self.drain_upload_events();
        if !uploaded
            && self.wanted != SessionMode::Nothing
            && !self.anything_recorded()
            && self.machine.bucket_health().is_ready()
        {
            self.probe_cleanup.remove().await;
        }
        self.leave_behind();
        self.is_given_up()
    }

    fn begin(&mut self) {
        let Some(config) = self.capture_config.take() else { return };
        match (self.start_capture)(config, Arc::clone(&self.sink) as _) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) => {
                self.machine.fail(error);
                self.capture_ended(wall_clock());
            }
        }
    }

    /// Carries out the machine's actions, and shows where the recording is.
    fn carry_out_actions(&mut self) {
        let figures = self.capture.as_ref().map(|capture| capture.figures());
        while let Some(action) = self.machine.next_action() {
            match action {
                // Shown first: who is told may look.
                Action::Tell(callback) => {
                    self.shared.publish(&self.machine, figures);
                    if matches!(callback, Callback::FatalError { .. }) {
                        recording_log::left_on_disk(&self.catalog.ledger(), &self.directory);
                    }
                    self.callbacks.send(callback);
                }
                Action::SetPaused(pause) => self.set_pause(pause),
                Action::StopCapture => self.stop_capture(),
            }
        }
        self.shared.publish(&self.machine, figures);
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Stop => self.machine.stop(),
            Control::Detach => {
                self.wanted = SessionMode::Upload;
                self.machine.stop();
            }
            Control::Cancel => {
                self.wanted = SessionMode::Nothing;
                self.machine.stop();
            }
            Control::SetPaused(paused) => self.machine.set_paused(paused),
            Control::SetStreams(streams) => self.set_streams(&streams),
            Control::SetLayout(layout, max_resolution) => {
                if let Some(capture) = &self.capture {
                    capture.set_layout(layout, max_resolution);
                }
            }
        }
    }

    fn set_streams(&mut self, streams: &[StreamSource]) {
        let changed = self.capture.as_ref().map_or(Ok(()), |capture| capture.set_streams(streams));
        if let Err(error) = changed {
            self.machine.fail(error);
        }
    }

    /// The recording's own time, while there is any.
    fn now(&self) -> UtcMillis {
        self.capture.as_ref().map_or_else(wall_clock, |capture| capture.now())
    }

    fn event(&mut self, event: &CaptureEvent) {
        let record = match event {
            CaptureEvent::Expected { uid, name, identity } => {
                let expected = Expected { uid: *uid, name: name.clone(), identity: identity.clone() };
                let is_known = self.catalog.ledger().participants().contains(&expected);
                (!is_known).then_some(Record::Participant(expected))
            }
            CaptureEvent::Dismissed { uid } => self.attendance.dismissed(*uid, self.now().0),
            CaptureEvent::Joined { uid, at, .. } => self.attendance.joined(*uid, at.0),
            CaptureEvent::Left { uid, at, .. } => {
                self.attendance.left(*uid, at.0);
                None
            }
            CaptureEvent::Gap { start, stop, reason } => {
                Some(Record::gap(*start, *stop, self.pauses.reason(start.0, stop.0).unwrap_or(reason)))
            }
            _ => None,
        };
        let before = self.machine.state();
        recording_log::capture_event(event);
        self.machine.event(event);
        match (before, self.machine.state()) {
            (State::Reconnecting, State::Recording) => tracing::info!("reconnected"),
            (State::Recording, State::Reconnecting) => {
                tracing::info!("the connection to everybody in the channel broke: reconnecting");
            }
            _ => {}
        }
        if let Some(record) = record {
            self.write(record);
        }
    }

    fn upload_event(&mut self, event: UploadEvent) {
        self.broken |= matches!(event, UploadEvent::Broken(_));
        self.machine.upload_event(event, wall_clock().0);
    }

    /// What the uploader said last, after which there is no uploader.
    fn drain_upload_events(&mut self) {
        while let Ok(event) = self.upload_events.try_recv() {
            self.upload_event(event);
        }
        self.carry_out_actions();
    }

    /// Of what is delivered nothing stays, once nobody asks for it.
    fn leave_behind(&self) {
        let delivered = {
            let ledger = self.catalog.ledger();
            ledger.begun().filter(|_| ledger.is_concluded() && !self.keep_directory).cloned()
        };
        match delivered {
            Some(begun) => self.shared.directory_cleanup.delivered(self.directory.clone(), begun),
            None => recording_log::left_on_disk(&self.catalog.ledger(), &self.directory),
        }
    }

    fn tick(&mut self, elapsed: Duration) {
        // Whoever let the recorder go waits for nothing.
        if self.wanted == SessionMode::All {
            // While the process stood still, nobody could be heard: that says nothing of who is there.
            self.machine.pass(elapsed.min(LONGEST_TICK));
        }
        if self.machine.state().captures() {
            let level = self.volume.measure();
            self.make_room(level.tight);
            self.machine.set_volume_full(level.full);
            self.shared.publish_bytes_left(level.bytes_left);
        }
        if let Some(now) = self.capture.as_ref().map(|capture| capture.now()) {
            let gone = self.attendance.gone(now.0);
            for record in gone {
                self.write(record);
            }
        }
    }

    /// Where room gets scarce, the backup store takes what the bucket does not, and what is in the bucket goes, even if it
    /// would be of use at the end.
    fn make_room(&mut self, tight: bool) {
        self.tight.send_if_modified(|known| std::mem::replace(known, tight) != tight);
        if self.catalog.ledger().mp4().is_none() || !tight {
            return;
        }
        let unbroken = |ledger: &Ledger| -> Vec<String> {
            ledger.unbroken().skip(self.shed).map(|(slice, _)| slice.file.clone()).collect()
        };
        let files = unbroken(&self.catalog.ledger());
        self.shed += files.len();
        for file in files {
            // One that cannot be removed takes room until the end, and that is all.
            let _ = std::fs::remove_file(self.directory.join(file));
        }
    }

    fn progress(&mut self) {
        let (percent, playlist) = {
            let ledger = self.catalog.ledger();
            (percent(&ledger), ledger.playlist_name())
        };
        self.machine.upload_progressed(percent, playlist);
    }

    fn set_pause(&mut self, pause: Option<Pause>) {
        let Some(capture) = &self.capture else { return };
        recording_log::paused(pause);
        self.pauses.set(pause, capture.now().0);
        self.shared.publish_pause(self.pauses.status());
        capture.set_paused(pause.is_some());
    }

    /// Capture ends beside this thread, as it waits for its own.
    fn stop_capture(&mut self) {
        if let Some(capture) = self.capture.take() {
            self.stopping = Some(log::spawn_blocking(move || {
                let at = capture.now();
                capture.stop();
                at
            }));
        }
    }

    /// Puts the catalog in order after capture. A cancelled recording may be taken up again, so it is not stopped.
    fn capture_ended(&mut self, at: UtcMillis) {
        self.stopping = None;
        while let Ok(event) = self.events.try_recv() {
            self.event(&event);
        }
        if let Some((start, reason)) = self.pauses.under_way() {
            self.write(Record::gap(UtcMillis(start), at, reason));
        }
        self.shared.publish_pause(None);
        let closed = resume::close_open_slices(&self.catalog, &self.directory);
        if let Err(error) = closed {
            self.break_off(error);
        }
        for record in self.attendance.end(at.0) {
            self.write(record);
        }
        if self.wanted != SessionMode::Nothing {
            self.write(Record::Stopped { at: at.0 });
        }
        self.machine.capture_stopped(self.anything_recorded(), at.0);
        self.wake_uploader.send_replace(());
    }

    fn anything_recorded(&self) -> bool {
        self.catalog.ledger().start().is_some()
    }

    /// Whether nobody waits for the upload any more: for an empty recording that nobody listens to, nobody does, and one
    /// whose catalog cannot be written comes to no end in this process.
    fn is_given_up(&self) -> bool {
        match self.wanted {
            SessionMode::All => false,
            SessionMode::Upload => self.broken || !self.anything_recorded(),
            SessionMode::Nothing => true,
        }
    }

    fn write(&mut self, record: Record) {
        let written = self.catalog.write(record);
        if let Err(error) = written {
            self.break_off(error.into());
        }
    }

    fn break_off(&mut self, error: Error) {
        self.broken = true;
        self.machine.fail(error);
    }
}

/// The state machine at the session's beginning.
fn machine(plan: &Plan, ledger: &Ledger, past: PreviousRun) -> Machine {
    let participants = Participants::new(&plan.begun.participants, !ledger.presences().is_empty());
    let mut machine = Machine::new(participants, names::playlist(&plan.begun.stem), plan.timeouts);
    match past {
        PreviousRun::None => machine.connect(),
        PreviousRun::Died => machine.resume(),
        PreviousRun::Stopped => machine.resume_stopped(),
    }
    machine
}

fn uploader(
    plan: &Plan,
    catalog: &Arc<Catalog>,
    upload_events: UnboundedSender<UploadEvent>,
    inbox: UploaderInbox,
) -> Uploader {
    Uploader {
        slice_store: SliceStore {
            catalog: Arc::clone(catalog),
            directory: plan.directory.clone(),
            volume: plan.volume.clone(),
            upload_events,
        },
        target: plan.begun.target.clone(),
        credentials: plan.credentials.clone(),
        backup: plan.backup.clone(),
        inbox,
    }
}

/// Runs the session on the calling thread; however it ends, its recording's final callback is told. A panic in it is never
/// the end of the host.
pub fn run(session: Session) {
    let shared = Arc::clone(&session.shared);
    let callbacks = session.callbacks.clone();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let given_up = runtime.block_on(session.run());
        // A look-up of a name that is under way cannot be called off, only left behind.
        runtime.shutdown_timeout(LAST_WORDS);
        std::io::Result::Ok(given_up)
    }));
    let error = match outcome {
        Ok(Ok(given_up)) if given_up || callbacks.has_ended() => return,
        Ok(Err(error)) => Error::new(Code::GeneralError, format!("the recorder's thread cannot work: {error}")),
        Ok(Ok(_)) | Err(_) => Error::unexpected(),
    };
    shared.publish_failure(error.clone());
    callbacks.send(error.into());
}

async fn optional(future: Option<impl Future<Output = ()>>) {
    if let Some(future) = future {
        future.await;
    }
}

/// When capture was stopped; never, while it is not being stopped.
async fn stopped(stopping: &mut Option<JoinHandle<UtcMillis>>) -> UtcMillis {
    match stopping {
        Some(handle) => handle.await.unwrap_or_else(|_| wall_clock()),
        None => std::future::pending().await,
    }
}

fn wall_clock() -> UtcMillis {
    UtcMillis(chrono::Utc::now().timestamp_millis())
}
