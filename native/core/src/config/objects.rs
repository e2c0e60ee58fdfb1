// SPDX-License-Identifier: Apache-2.0
//! What the document says of every object that is put: metadata, tags, caching, storage class, encryption. What a store
//! does not take of it is refused, never left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::invalid;
use crate::error::Error;
use crate::storage::request_text::is_header_value;
use crate::storage::vendor::{BucketKind, Vendor};

/// What S3 takes of metadata, names and values together.
const MOST_METADATA_BYTES: usize = 2048;
const MOST_METADATA: usize = 32;
const MOST_TAGS: usize = 10;
const LONGEST_NAME: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;
const LONGEST_CACHE_CONTROL: usize = 256;
const LONGEST_STORAGE_CLASS: usize = 64;
const LONGEST_KEY: usize = 512;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectOptions {
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// Of what is never put again under its name.
    pub cache_control: Option<String>,
    pub storage_class: Option<String>,
    pub server_side_encryption: Option<Encryption>,
    /// The key of Google's Cloud KMS.
    pub kms_key_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", deny_unknown_fields)]
pub enum Encryption {
    #[serde(rename = "SSE-S3")]
    Bucket {},
    #[serde(rename = "SSE-KMS")]
    Kms {
        /// None for the one that the store has for such.
        #[serde(rename = "kmsKeyId", default)]
        key_id: Option<String>,
    },
}

impl Encryption {
    /// What S3 calls it, in requests and in answers.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Bucket {} => "AES256",
            Self::Kms { .. } => "aws:kms",
        }
    }

    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Self::Bucket {} => None,
            Self::Kms { key_id } => key_id.as_deref(),
        }
    }
}

impl ObjectOptions {
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What no store takes, whoever runs it.
    pub(super) fn check(&self, before: &str) -> Result<(), Error> {
        self.check_metadata(before)?;
        self.check_tags(before)?;
        let key_id = self.server_side_encryption.as_ref().and_then(Encryption::key_id);
        let texts = [
            ("cacheControl", self.cache_control.as_deref(), LONGEST_CACHE_CONTROL),
            ("storageClass", self.storage_class.as_deref(), LONGEST_STORAGE_CLASS),
            ("serverSideEncryption.kmsKeyId", key_id, LONGEST_KEY),
            ("kmsKeyName", self.kms_key_name.as_deref(), LONGEST_KEY),
        ];
        let wrong = |(_, text, most): &&(&str, Option<&str>, usize)| text.is_some_and(|text| !is_value(text, *most));
        match texts.iter().find(wrong) {
            Some((name, _, most)) => Err(invalid(&format!(
                "{before}{name}: must be 1 to {most} characters of printable ASCII, without a blank at either end"
            ))),
            None => Ok(()),
        }
    }

    fn check_metadata(&self, before: &str) -> Result<(), Error> {
        let refused = |words: &str| Err(invalid(&format!("{before}metadata: {words}")));
        let is_name = |name: &String| {
            let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(safe)
        };
        if self.metadata.len() > MOST_METADATA {
            return refused(&format!("must have at most {MOST_METADATA} names"));
        }
        if !self.metadata.keys().all(is_name) {
            let most = LONGEST_NAME;
            return refused(&format!("must have names of 1 to {most} lower-case letters, digits, '.', '_' and '-'"));
        }
        if !self.metadata.values().all(|value| is_value(value, MOST_METADATA_BYTES)) {
            return refused("must have values of printable ASCII characters, without a blank at either end");
        }
        if self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST_METADATA_BYTES {
            return refused(&format!("must be at most {MOST_METADATA_BYTES} bytes, names and values together"));
        }
        Ok(())
    }

    fn check_tags(&self, before: &str) -> Result<(), Error> {
        let refused = |words: &str| Err(invalid(&format!("{before}tags: {words}")));
        let is_text =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +=._:/@-".contains(&byte));
        if self.tags.len() > MOST_TAGS {
            return refused(&format!("must be at most {MOST_TAGS}"));
        }
        if self.tags.keys().any(|key| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
            return refused("must not have keys that begin with 'aws:', which are the store's own");
        }
        if !self.tags.keys().all(|key| (1..=LONGEST_NAME).contains(&key.len()) && is_text(key)) {
            return refused(&format!(
                "must have keys of 1 to {LONGEST_NAME} letters (A-Z, a-z), digits, blanks and '+', '-', '=', '.', '_', \
                 ':', '/', '@'"
            ));
        }
        if !self.tags.values().all(|value| value.len() <= LONGEST_TAG_VALUE && is_text(value)) {
            return refused(&format!(
                "must have values of at most {LONGEST_TAG_VALUE} letters (A-Z, a-z), digits, blanks and '+', '-', '=', \
                 '.', '_', ':', '/', '@'"
            ));
        }
        Ok(())
    }

    /// What no bucket of the kind takes.
    pub(super) fn check_kind(&self, before: &str, kind: BucketKind) -> Result<(), Error> {
        if let Some(name) = self.given(kind.lacking_object_options()) {
            return Err(invalid(&format!("{before}{name}: vendor {} has none; leave it out", kind.name())));
        }
        if kind == BucketKind::AzureBlobStorage && !self.metadata.keys().all(|name| is_identifier(name)) {
            let why =
                "must have names of lower-case letters, digits and '_', no digit first, of vendor AzureBlobStorage";
            return Err(invalid(&format!("{before}metadata: {why}")));
        }
        Ok(())
    }

    /// What the vendor does not take by its S3 API.
    pub fn check_vendor(&self, before: &str, vendor: Vendor) -> Result<(), Error> {
        match self.given(vendor.lacking_object_options()) {
            Some(name) => Err(invalid(&format!("{before}{name}: {vendor} takes none by its S3 API; leave it out"))),
            None => Ok(()),
        }
    }

    /// The first of these options that is given.
    fn given(&self, names: &[&'static str]) -> Option<&'static str> {
        let is_given = |name: &str| match name {
            "metadata" => !self.metadata.is_empty(),
            "tags" => !self.tags.is_empty(),
            "cacheControl" => self.cache_control.is_some(),
            "storageClass" => self.storage_class.is_some(),
            "serverSideEncryption" => self.server_side_encryption.is_some(),
            "kmsKeyName" => self.kms_key_name.is_some(),
            _ => false,
        };
        names.iter().copied().find(|name| is_given(name))
    }
}

/// Whether a header can carry the text as it is.
fn is_value(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && is_header_value(text) && text.trim() == text
}

/// Whether it is one of C#'s, which Azure has names of metadata be; of those that any store has.
/// <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata#metadata-names>
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit()) && !name.contains(['.', '-'])
}
