// SPDX-License-Identifier: Apache-2.0
//! The texts that programs are handed. Those written for the vendor's library keep the pointers and read them later, in
//! another thread: so ids and file names stay until the process ends, and of messages the last so many.

use std::collections::{HashSet, VecDeque};
use std::ffi::{c_char, CStr, CString};
use std::sync::Mutex;

use crate::locked::Locked;

const MESSAGES: usize = 1000;

static KEPT: Mutex<Kept> = Mutex::new(Kept { names: None, messages: VecDeque::new() });

struct Kept {
    names: Option<HashSet<&'static CStr>>,
    messages: VecDeque<CString>,
}

/// An id or a file's name; the same words are the same text.
#[must_use]
pub fn name(words: &str) -> &'static CStr {
    let text = text(words);
    let mut kept = KEPT.locked();
    let names = kept.names.get_or_insert_with(HashSet::new);
    if let Some(name) = names.get(text.as_c_str()) {
        return name;
    }
    let name: &'static CStr = Box::leak(text.into_boxed_c_str());
    names.insert(name);
    name
}

/// A message, at its address until so many others have followed it.
#[must_use]
pub fn message(words: &str) -> *const c_char {
    let text = text(words);
    // Where the text is does not change as its owner moves.
    let address = text.as_ptr();
    let mut kept = KEPT.locked();
    if kept.messages.len() == MESSAGES {
        kept.messages.pop_front();
    }
    kept.messages.push_back(text);
    address
}

/// The words as C text: up to a NUL, if a server's words hold one.
fn text(words: &str) -> CString {
    let words = words.split('\0').next().unwrap_or_default();
    CString::new(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_ends_at_a_nul() {
        let first = name("a.m3u8");
        assert_eq!(first.as_ptr(), name("a.m3u8\0x").as_ptr());
        assert_ne!(first.as_ptr(), name("b.m3u8").as_ptr());
        assert_eq!(first.to_str(), Ok("a.m3u8"));
    }

    #[test]
    fn so_many_messages_are_kept() {
        for number in 0..=MESSAGES {
            let _ = message(&number.to_string());
        }
        let kept = KEPT.locked();
        assert_eq!(kept.messages.len(), MESSAGES);
        assert_eq!(kept.messages.back().unwrap().to_str(), Ok("1000"));
    }
}
