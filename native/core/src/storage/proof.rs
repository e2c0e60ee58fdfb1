// SPDX-License-Identifier: Apache-2.0
//! What an answer proves of the content that a store holds. Pure.
//!
//! A checksum of the content is believed first. An `ETag` is the content's MD5 only where nothing is encrypted with a key of
//! its own: with SSE-KMS and SSE-C it has the form of one and is none, whoever asked for the encryption.
//!
//! Google states a CRC32C of any object, and an MD5 of one that was not made of parts. Azure states an MD5 of an object, and a
//! CRC64 of whatever a request brought: an object, a block, or a list of blocks.

use base64::prelude::{Engine as _, BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::names;

pub const CHECKSUM: &str = "x-amz-checksum-sha256";
const ENCRYPTION: [&str; 2] = ["x-amz-server-side-encryption", "x-oss-server-side-encryption"];
/// Encryption by the store, with keys of its own: an `ETag` stays what it is.
const BY_THE_STORE: &str = "AES256";
const GOOGLES: &str = "x-goog-hash";
/// Which no other store's answers have; what theirs call by a name of Azure's is theirs to say.
const AZURES: &str = "x-ms-request-id";
const AZURES_CRC64: &str = "x-ms-content-crc64";
const CUSTOMERS_KEY: &str = "x-amz-server-side-encryption-customer-algorithm";

/// What an answer's headers say of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectHeaders {
    checksum: Option<String>,
    digests: Digests,
    e_tag: Option<String>,
    tag_is_opaque: bool,
    /// How the store encrypts it, if it says so.
    pub encryption: Option<String>,
    /// The object's size; of an answer to HEAD.
    pub bytes: Option<u64>,
}

/// Digests of an object's whole content, in Base64, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Digests {
    crc32c: Option<String>,
    crc64: Option<String>,
    md5: Option<String>,
}

impl Digests {
    fn by(headers: &HeaderMap) -> Self {
        if headers.contains_key(AZURES) {
            return Self::by_azure(headers);
        }
        Self::by_google(headers)
    }

    fn by_azure(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { crc32c: None, crc64: text(AZURES_CRC64), md5: text("content-md5") }
    }

    /// Google's, be they in one header or in several.
    fn by_google(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let lines = headers.get_all(GOOGLES).into_iter().filter_map(|value| value.to_str().ok());
        for (name, digest) in lines.flat_map(|line| line.split(',')).filter_map(|one| one.trim().split_once('=')) {
            match name {
                "crc32c" => found.crc32c = Some(digest.to_owned()),
                "md5" => found.md5 = Some(digest.to_owned()),
                _ => {}
            }
        }
        found
    }

    /// What both know and say alike or not; None where they know nothing in common.
    fn compare(&self, sent: &Self) -> Option<Verdict> {
        let pairs = [
            ("CRC32C", &self.crc32c, &sent.crc32c),
            ("CRC64", &self.crc64, &sent.crc64),
            ("MD5", &self.md5, &sent.md5),
        ];
        let mut verdict = None;
        for (name, stated, sent) in pairs {
            let (Some(stated), Some(sent)) = (stated, sent) else { continue };
            if stated != sent {
                let why = format!("the store's {name} is {stated}, that of what was sent is {sent}");
                return Some(Verdict::Disproved(why));
            }
            verdict = Some(Verdict::Proved);
        }
        verdict
    }
}

/// As stores write it: in Base64, the first byte first.
fn crc32c(sum: u64) -> String {
    let bytes = sum.to_be_bytes();
    BASE64_STANDARD.encode(&bytes[4..])
}

/// As Azure writes it: in Base64, the last byte first.
fn crc64(sum: u64) -> String {
    BASE64_STANDARD.encode(sum.to_le_bytes())
}

impl ObjectHeaders {
    #[must_use]
    pub fn by(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let has_other_key = |name: &&str| text(name).is_some_and(|algorithm| algorithm != BY_THE_STORE);
        Self {
            checksum: text(CHECKSUM),
            digests: Digests::by(headers),
            e_tag: text("etag").map(|tag| tag.trim_matches('"').to_owned()),
            tag_is_opaque: ENCRYPTION.iter().any(has_other_key) || headers.contains_key(CUSTOMERS_KEY),
            encryption: ENCRYPTION.iter().find_map(|name| text(name)),
            bytes: text("content-length").and_then(|bytes| bytes.parse().ok()),
        }
    }
}

/// How a store may name the content that it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentContent {
    pub bytes: u64,
    checksum: String,
    digests: Digests,
    e_tag: String,
}

impl SentContent {
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let md5 = Md5::digest(content);
        Self {
            bytes: content.len() as u64,
            checksum: BASE64_STANDARD.encode(Sha256::digest(content)),
            digests: Digests {
                crc32c: Some(crc32c(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, content))),
                crc64: Some(crc64(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, content))),
                md5: Some(BASE64_STANDARD.encode(md5)),
            },
            e_tag: names::hex(&md5),
        }
    }
}

/// The same of an object that is sent in parts: digests of the parts' digests, and what is stated of the whole.
#[derive(Debug, Clone)]
pub struct PartDigests {
    bytes: u64,
    sha256: Sha256,
    md5: Md5,
    crc32c: crc_fast::Digest,
    count: usize,
}

impl Default for PartDigests {
    fn default() -> Self {
        let crc32c = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        Self { bytes: 0, sha256: Sha256::default(), md5: Md5::default(), crc32c, count: 0 }
    }
}

impl PartDigests {
    pub fn add(&mut self, content: &[u8]) {
        self.bytes += content.len() as u64;
        self.sha256.update(Sha256::digest(content));
        self.md5.update(Md5::digest(content));
        self.crc32c.update(content);
        self.count += 1;
    }

    #[must_use]
    pub fn sent(&self) -> SentContent {
        SentContent {
            bytes: self.bytes,
            checksum: BASE64_STANDARD.encode(self.sha256.clone().finalize()),
            digests: Digests { crc32c: Some(crc32c(self.crc32c.finalize())), ..Digests::default() },
            e_tag: format!("{}-{}", names::hex(&self.md5.clone().finalize()), self.count),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The store has what was sent.
    Proved,
    /// The store has something else, by its checksum.
    Disproved(String),
    /// The `ETag` is not what it would be of unencrypted content; encryption that the answer does not tell of would
    /// explain it.
    Doubtful(String),
    /// Nothing is said that could be compared.
    Silent,
}

#[must_use]
pub fn compare(headers: &ObjectHeaders, sent: &SentContent) -> Verdict {
    if let Some(checksum) = &headers.checksum {
        // That of an object of parts is followed by their number; some stores leave that out.
        let digest = checksum.split_once('-').map_or(checksum.as_str(), |(digest, _)| digest);
        return if digest == sent.checksum {
            Verdict::Proved
        } else {
            Verdict::Disproved(format!(
                "the store's checksum is {checksum}, that of what was sent is {}",
                sent.checksum
            ))
        };
    }
    if let Some(verdict) = headers.digests.compare(&sent.digests) {
        return verdict;
    }
    let comparable = |tag: &&String| !headers.tag_is_opaque && has_form_of(tag, &sent.e_tag);
    match headers.e_tag.as_ref().filter(comparable) {
        Some(tag) if tag.eq_ignore_ascii_case(&sent.e_tag) => Verdict::Proved,
        Some(tag) => {
            Verdict::Doubtful(format!("the store's ETag is {tag}, the MD5 of what was sent is {}", sent.e_tag))
        }
        None => Verdict::Silent,
    }
}

/// Whether the tag is an MD5, or one of so many parts, as the expected one is.
fn has_form_of(tag: &str, expected: &str) -> bool {
    let parts = |text: &str| text.split_once('-').map(|(_, count)| count.to_owned());
    let digest = tag.split('-').next().unwrap_or_default();
    digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) && parts(tag) == parts(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"content";
    const MD5: &str = "9a0364b9e99bb480dd25e1f0284c8555";
    const OTHER: &str = "0123456789abcdef0123456789abcdef";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn verdict(pairs: &[(&'static str, &str)]) -> Verdict {
        compare(&ObjectHeaders::by(&headers(pairs)), &SentContent::of(CONTENT))
    }

    #[test]
    fn a_checksum_is_believed_before_any_tag() {
        let right = BASE64_STANDARD.encode(Sha256::digest(CONTENT));
        let wrong = BASE64_STANDARD.encode(Sha256::digest(b"other"));
        for tag in [MD5, OTHER, "opaque"] {
            assert_eq!(verdict(&[(CHECKSUM, &right), ("etag", tag)]), Verdict::Proved);
            assert!(matches!(verdict(&[(CHECKSUM, &wrong), ("etag", tag)]), Verdict::Disproved(_)));
        }
    }

    #[test]
    fn a_tag_says_nothing_beside_a_key_of_its_own() {
        let quoted = format!("\"{MD5}\"");
        assert_eq!(verdict(&[("etag", &quoted)]), Verdict::Proved);
        assert_eq!(verdict(&[("etag", &MD5.to_uppercase())]), Verdict::Proved);
        assert_eq!(verdict(&[("etag", MD5), (ENCRYPTION[0], "AES256")]), Verdict::Proved);
        assert!(matches!(verdict(&[("etag", OTHER)]), Verdict::Doubtful(_)));
        assert!(matches!(verdict(&[("etag", OTHER), (ENCRYPTION[0], "AES256")]), Verdict::Doubtful(_)));
        for (name, value) in [
            (ENCRYPTION[0], "aws:kms"),
            (ENCRYPTION[0], "aws:kms:dsse"),
            (ENCRYPTION[1], "KMS"),
            (CUSTOMERS_KEY, "AES256"),
        ] {
            for tag in [MD5, OTHER] {
                assert_eq!(verdict(&[("etag", tag), (name, value)]), Verdict::Silent, "{name}: {value}");
            }
        }
        for tag in ["FhGvxyz-Qiniu", "0123", &format!("{MD5}-1")] {
            assert_eq!(verdict(&[("etag", tag)]), Verdict::Silent, "{tag}");
        }
        assert_eq!(verdict(&[]), Verdict::Silent);
    }

    /// The CRC32C of "content" in Base64, reckoned elsewhere.
    const CRC32C: &str = "Ya91Mw==";

    #[test]
    fn googles_digests_are_believed_before_any_tag() {
        let md5 = BASE64_STANDARD.encode(Md5::digest(CONTENT));
        let other = BASE64_STANDARD.encode(Md5::digest(b"other"));
        for hash in
            [format!("crc32c={CRC32C}"), format!("crc32c={CRC32C},md5={md5}"), format!("md5={md5}, crc32c={CRC32C}")]
        {
            assert_eq!(verdict(&[(GOOGLES, &hash), ("etag", OTHER)]), Verdict::Proved, "{hash}");
        }
        for hash in ["crc32c=AAAAAA==".to_owned(), format!("crc32c={CRC32C},md5={other}")] {
            assert!(matches!(verdict(&[(GOOGLES, &hash), ("etag", MD5)]), Verdict::Disproved(_)), "{hash}");
        }
        assert_eq!(verdict(&[(GOOGLES, "sha3=x")]), Verdict::Silent);
        let mut both = HeaderMap::new();
        both.append(GOOGLES, format!("crc32c={CRC32C}").parse().unwrap());
        both.append(GOOGLES, format!("md5={other}").parse().unwrap());
        let both = compare(&ObjectHeaders::by(&both), &SentContent::of(CONTENT));
        assert!(matches!(both, Verdict::Disproved(_)), "each in a header of its own");
        let mut parts = PartDigests::default();
        parts.add(b"con");
        parts.add(b"tent");
        let whole = headers(&[(GOOGLES, &format!("crc32c={CRC32C}"))]);
        assert_eq!(compare(&ObjectHeaders::by(&whole), &parts.sent()), Verdict::Proved);
    }

    #[test]
    fn azures_digests_are_azures_alone() {
        let sent = SentContent::of(b"Hello World");
        let stated = |pairs: &[(&'static str, &str)]| compare(&ObjectHeaders::by(&headers(pairs)), &sent);
        // As Azure itself answered once.
        let (md5, crc64) = ("sQqNsWTgdUEFt6mb5y4/5Q==", "YeJLfssylmU=");
        let azures = (AZURES, "d89830b7-f01e-0063-0847-6820d9000000");
        let tag = ("etag", "0x8D7365E58882022");
        for digests in
            [vec![("content-md5", md5)], vec![(AZURES_CRC64, crc64)], vec![("content-md5", md5), (AZURES_CRC64, crc64)]]
        {
            assert_eq!(stated(&[&digests[..], &[azures, tag]].concat()), Verdict::Proved, "{digests:?}");
            assert_eq!(stated(&digests), Verdict::Silent, "{digests:?} of another store");
        }
        for wrong in
            [[("content-md5", md5), (AZURES_CRC64, "AAAAAAAAAAA=")], [("content-md5", "AA=="), (AZURES_CRC64, crc64)]]
        {
            assert!(matches!(stated(&[&wrong[..], &[azures]].concat()), Verdict::Disproved(_)), "{wrong:?}");
        }
        assert_eq!(stated(&[azures, tag]), Verdict::Silent);
    }

    #[test]
    fn an_object_of_parts_is_named_by_its_parts() {
        let mut parts = PartDigests::default();
        parts.add(b"con");
        parts.add(b"tent");
        let sent = parts.sent();
        assert_eq!(sent.bytes, 7);
        let of_parts = |pairs: &[(&'static str, &str)]| compare(&ObjectHeaders::by(&headers(pairs)), &sent);
        let both = [Sha256::digest(b"con"), Sha256::digest(b"tent")].concat();
        let checksum = BASE64_STANDARD.encode(Sha256::digest(both));
        for checksum in [checksum.clone(), format!("{checksum}-2")] {
            assert_eq!(of_parts(&[(CHECKSUM, &checksum)]), Verdict::Proved);
        }
        let tag = names::hex(&Md5::digest([Md5::digest(b"con"), Md5::digest(b"tent")].concat()));
        assert_eq!(of_parts(&[("etag", &format!("{tag}-2"))]), Verdict::Proved);
        assert!(matches!(of_parts(&[("etag", &format!("{OTHER}-2"))]), Verdict::Doubtful(_)));
        assert_eq!(of_parts(&[("etag", &format!("{tag}-3"))]), Verdict::Silent);
        assert_eq!(of_parts(&[("etag", &tag)]), Verdict::Silent);
    }
}
