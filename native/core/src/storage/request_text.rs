// SPDX-License-Identifier: Apache-2.0
//! What can stand in a request to a store: the client library takes anything, and panics as it makes the request.

/// Whether the text can be a part of a host's name and of a URL's path, as names of buckets and regions are. Wider than any
/// vendor's rule: old buckets have capitals and '_'.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Whether the text can be a header's value.
#[must_use]
pub fn is_header_value(text: &str) -> bool {
    not_in_a_header(text).is_none()
}

/// The first character of the text that no header can carry, and its place, from 1.
#[must_use]
pub fn not_in_a_header(text: &str) -> Option<(usize, char)> {
    text.chars().enumerate().find(|(_, c)| !matches!(c, ' '..='~')).map(|(index, c)| (index + 1, c))
}
