// SPDX-License-Identifier: Apache-2.0
//! What the bucket does not take at present, by kind of file: a key may put one kind and be denied another.

use std::collections::HashSet;
use std::mem::{discriminant, Discriminant};

use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::store::ObjectKind;

#[derive(Default)]
pub struct Refusals(Vec<RefusedPut>);

struct RefusedPut {
    /// None where not even the connection could be set up.
    kind: Option<ObjectKind>,
    causes: HashSet<Discriminant<StoreCause>>,
    newest: StoreError,
}

impl Refusals {
    /// Whether the failure is news: no kind of file fails for this cause already.
    pub fn note(&mut self, kind: Option<ObjectKind>, failure: &StoreError) -> bool {
        let cause = discriminant(&failure.cause);
        let is_news = !self.0.iter().any(|refusal| refusal.causes.contains(&cause));
        let kind = alike(kind);
        let known = self.0.iter().position(|refusal| refusal.kind == kind);
        let mut causes = known.map(|index| self.0.remove(index).causes).unwrap_or_default();
        causes.insert(cause);
        self.0.push(RefusedPut { kind, causes, newest: failure.clone() });
        is_news
    }

    /// The bucket took a file of this kind.
    pub fn end(&mut self, kind: Option<ObjectKind>) {
        self.0.retain(|refusal| refusal.kind.is_some() && refusal.kind != alike(kind));
    }

    #[must_use]
    pub fn newest(&self) -> Option<&StoreError> {
        self.0.last().map(|refusal| &refusal.newest)
    }
}

/// A playlist that is finished goes where the live one went.
fn alike(kind: Option<ObjectKind>) -> Option<ObjectKind> {
    kind.map(|kind| if kind == ObjectKind::LivePlaylist { ObjectKind::Playlist } else { kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Option<ObjectKind> = Some(ObjectKind::Slice);
    const PLAYLIST: Option<ObjectKind> = Some(ObjectKind::Playlist);

    fn failure(cause: StoreCause) -> StoreError {
        StoreError::new(cause, "")
    }

    fn shown(refusals: &Refusals) -> Option<StoreCause> {
        refusals.newest().map(|failure| failure.cause.clone())
    }

    #[test]
    fn a_refusal_is_told_once_and_stands_until_a_file_of_its_kind_is_taken() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(PLAYLIST, &failure(StoreCause::AccessDenied)));
        refusals.end(SLICE);
        assert!(!refusals.note(PLAYLIST, &failure(StoreCause::AccessDenied)));
        assert_eq!(shown(&refusals), Some(StoreCause::AccessDenied));
        refusals.end(PLAYLIST);
        assert_eq!(shown(&refusals), None);
        assert!(refusals.note(PLAYLIST, &failure(StoreCause::AccessDenied)));
    }

    #[test]
    fn one_cause_is_one_failure_whatever_it_keeps_out_and_each_other_is_told() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(PLAYLIST, &failure(StoreCause::AccessDenied)));
        assert!(!refusals.note(SLICE, &failure(StoreCause::AccessDenied)));
        assert!(refusals.note(SLICE, &failure(StoreCause::Timeout)));
        assert_eq!(shown(&refusals), Some(StoreCause::Timeout));
        refusals.end(SLICE);
        assert_eq!(shown(&refusals), Some(StoreCause::AccessDenied), "what is left is shown again");
        assert!(refusals.note(SLICE, &failure(StoreCause::Timeout)), "it was over");
    }

    #[test]
    fn a_refused_live_playlist_is_forgotten_once_the_finished_one_is_taken() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(Some(ObjectKind::LivePlaylist), &failure(StoreCause::AccessDenied)));
        refusals.end(PLAYLIST);
        assert_eq!(shown(&refusals), None);
    }

    #[test]
    fn what_kept_everything_out_is_over_with_the_first_file_taken() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(None, &failure(StoreCause::Credentials)));
        refusals.end(SLICE);
        assert_eq!(shown(&refusals), None);
    }
}
