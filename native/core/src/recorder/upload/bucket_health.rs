// SPDX-License-Identifier: Apache-2.0
//! What a snapshot says of the bucket.

use serde::Serialize;

/// Whether the bucket takes what is put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum BucketState {
    /// Nothing was put yet, or not since the files go elsewhere.
    #[default]
    Untried,
    Ready,
    Failing,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BucketHealth {
    state: BucketState,
    /// Since when it is in this state, in milliseconds UTC.
    since: Option<i64>,
    /// Why it fails, in one word for programs.
    cause: Option<&'static str>,
    /// The same in words for people, without a way out.
    message: String,
}

impl BucketHealth {
    pub fn answers(&mut self, at: i64) {
        *self = Self { state: BucketState::Ready, since: Some(at), ..Self::default() };
    }

    /// Another cause is the same failure going on.
    pub fn fails(&mut self, cause: &'static str, message: String, at: i64) {
        let since = self.since.filter(|_| self.state == BucketState::Failing).unwrap_or(at);
        *self = Self { state: BucketState::Failing, since: Some(since), cause: Some(cause), message };
    }

    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state == BucketState::Failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_begins_once_and_ends_when_something_is_taken() {
        let mut health = BucketHealth::default();
        health.fails("Timeout", "no answer".into(), 10);
        health.fails("NoSuchBucket", "none".into(), 20);
        assert_eq!((health.since, health.cause), (Some(10), Some("NoSuchBucket")));
        health.answers(30);
        assert_eq!(
            health,
            BucketHealth { state: BucketState::Ready, since: Some(30), cause: None, message: String::new() }
        );
        health.fails("Timeout", String::new(), 40);
        assert_eq!(health.since, Some(40));
    }
}
