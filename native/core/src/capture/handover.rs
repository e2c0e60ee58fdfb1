// SPDX-License-Identifier: Apache-2.0
//! Hands jobs from a thread that must not wait to one that may be behind. Where the other has no room, the job that ends the
//! output is owed until it has.

use std::sync::mpsc::{SendError, SyncSender, TrySendError};

/// Why the output ends where the other thread is hopelessly behind.
pub const TOO_SLOW: &str = "the processor or the work volume was too slow to keep up";

pub struct Handover<Job> {
    jobs: SyncSender<Job>,
    /// False where time waits for the work: then this does, too.
    is_live: bool,
    owed: Option<Job>,
}

/// The other thread has ended before the stop; it has said why.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl<Job> From<SendError<Job>> for Gone {
    fn from(_: SendError<Job>) -> Self {
        Self
    }
}

impl<Job> Handover<Job> {
    pub fn new(jobs: SyncSender<Job>, is_live: bool) -> Self {
        Self { jobs, is_live, owed: None }
    }

    /// False where there is no room; then the job is lost.
    pub fn offer(&self, job: Job) -> Result<bool, Gone> {
        self.try_send(job).map(|left| left.is_none())
    }

    /// Returns once the job is handed over, and what was owed before it.
    pub fn send(&mut self, job: Job) -> Result<(), Gone> {
        self.flush()?;
        Ok(self.jobs.send(job)?)
    }

    /// Hands over the last job, without what is owed.
    pub fn end(self, job: Job) -> Result<(), Gone> {
        Ok(self.jobs.send(job)?)
    }

    /// Returns once nothing is owed any more.
    pub fn flush(&mut self) -> Result<(), Gone> {
        self.owed.take().map_or(Ok(()), |job| Ok(self.jobs.send(job)?))
    }

    /// This is to be handed over before anything else is, instead of what was owed.
    pub fn owe(&mut self, job: Job) {
        self.owed = Some(job);
    }

    pub fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// True when nothing is owed any more.
    pub fn settle(&mut self) -> Result<bool, Gone> {
        if let Some(job) = self.owed.take() {
            self.owed = self.try_send(job)?;
        }
        Ok(!self.owes())
    }

    /// The job, where there is no room for it.
    fn try_send(&self, job: Job) -> Result<Option<Job>, Gone> {
        if !self.is_live {
            return Ok(self.jobs.send(job).map(|()| None)?);
        }
        match self.jobs.try_send(job) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(job)) => Ok(Some(job)),
            Err(TrySendError::Disconnected(_)) => Err(Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn what_is_owed_waits_for_room_and_comes_before_the_next_job() {
        let (jobs, received) = sync_channel(1);
        let mut handover = Handover::new(jobs, true);
        assert_eq!(handover.offer(1), Ok(true));
        assert_eq!(handover.offer(2), Ok(false));
        handover.owe(3);
        assert_eq!(handover.settle(), Ok(false));
        assert_eq!(received.recv(), Ok(1));
        assert_eq!(handover.settle(), Ok(true));
        assert_eq!(handover.offer(4), Ok(false));
        assert_eq!(received.recv(), Ok(3));
        drop(received);
        assert_eq!(handover.offer(5), Err(Gone));
        assert_eq!(handover.send(6), Err(Gone));
    }
}
