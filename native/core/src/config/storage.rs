// SPDX-License-Identifier: Apache-2.0
//! What the document says of stores: the bucket beside what the interface's call names, the backup store, and where a
//! recording goes instead.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{explain, invalid, ObjectOptions};
use crate::error::Error;
use crate::storage::azure_account::AzureFile;
use crate::storage::google_identity::is_service_account;
use crate::storage::identity::Identity;
use crate::storage::proxy::ProxyUrl;
use crate::storage::request_text::is_name;
use crate::storage::vendor::{BucketKind, NamedVendor, Vendor};

const AFTER_SECONDS: u32 = 60;
const MOST_AFTER_SECONDS: u32 = 24 * 3600;

/// How a store is reached, and what its objects get; of the bucket, what is different from what vendor and region say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// The storage account that the bucket is in; of Azure alone.
    pub account: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub prefix: Option<String>,
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy that requests go through, instead of any that the environment names.
    pub proxy_url: Option<ProxyUrl>,
    /// Whether the playlist is put again as it grows; false for a bucket in which nothing is put twice.
    pub live_playlist: Option<bool>,
    /// What every object gets.
    #[serde(default)]
    pub objects: ObjectOptions,
    pub credential_files: Option<CredentialFiles>,
    /// Whose keys open the bucket, instead of any that are named.
    pub identity: Option<Identity>,
    /// The Google service account that the pod of the identity acts as; of Google alone.
    pub google_service_account: Option<String>,
    /// A directory that is the store, instead of a bucket.
    pub directory: Option<PathBuf>,
    /// Who runs the bucket; one that the interface has a number for is named in its call, and here of the backup store.
    pub vendor: Option<NamedVendor>,
    /// Of the backup store alone, as is the next one: the interface's call names the bucket.
    pub bucket: Option<String>,
    pub after_seconds: Option<u32>,
}

/// The store that takes what the bucket does not.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Storage")]
pub struct BackupSettings {
    /// Empty for a directory.
    pub bucket: String,
    pub vendor: NamedVendor,
    /// None for a directory.
    pub credential_files: Option<CredentialFiles>,
    /// How long the bucket may fail before slices go to the backup store.
    pub after_seconds: u32,
    /// All else, as for the bucket.
    pub storage: Storage,
}

/// Where a recording goes instead, while nothing of it is in the bucket; all else about its bucket stays.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketLocation {
    pub bucket: String,
    #[serde(default)]
    pub vendor: NamedVendor,
    pub account: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub proxy_url: Option<ProxyUrl>,
}

/// Files that hold what opens the bucket; read anew for every request, so that rotation needs no restart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NamedFiles")]
pub enum CredentialFiles {
    AccessKey(AccessKeyFiles),
    /// A service account's key, as Google hands it out.
    ServiceAccount(PathBuf),
    Azure(AzureFile),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeyFiles {
    pub access_key: PathBuf,
    pub secret_key: PathBuf,
    pub session_token: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NamedFiles {
    access_key: Option<PathBuf>,
    secret_key: Option<PathBuf>,
    session_token: Option<PathBuf>,
    service_account_key: Option<PathBuf>,
    account_key: Option<PathBuf>,
    sas_token: Option<PathBuf>,
}

impl TryFrom<NamedFiles> for CredentialFiles {
    type Error = &'static str;

    fn try_from(named: NamedFiles) -> Result<Self, Self::Error> {
        let NamedFiles { access_key, secret_key, session_token, service_account_key, account_key, sas_token } = named;
        let alone = [
            service_account_key.map(Self::ServiceAccount),
            account_key.map(|file| Self::Azure(AzureFile::AccountKey(file))),
            sas_token.map(|file| Self::Azure(AzureFile::SasToken(file))),
        ];
        let mut alone = alone.into_iter().flatten();
        if let Some(files) = alone.next() {
            return match (alone.next(), &access_key, &secret_key, &session_token) {
                (None, None, None, None) => Ok(files),
                _ => Err(files.must_be_alone()),
            };
        }
        Ok(Self::AccessKey(AccessKeyFiles {
            access_key: access_key.ok_or("missing field `accessKey`")?,
            secret_key: secret_key.ok_or("missing field `secretKey`")?,
            session_token,
        }))
    }
}

impl CredentialFiles {
    fn must_be_alone(&self) -> &'static str {
        match self {
            Self::AccessKey(_) => "accessKey and secretKey must be alone",
            Self::ServiceAccount(_) => "serviceAccountKey must be alone",
            Self::Azure(AzureFile::AccountKey(_)) => "accountKey must be alone",
            Self::Azure(AzureFile::SasToken(_)) => "sasToken must be alone",
        }
    }

    fn check(&self, field: &str, kind: BucketKind) -> Result<(), Error> {
        let is_of = |kind: BucketKind, names: &str| {
            Err(invalid(&format!("{field}.credentialFiles: must have {names} of vendor {}", kind.name())))
        };
        match (kind, self) {
            (BucketKind::S3, Self::AccessKey(_))
            | (BucketKind::GoogleCloudStorage, Self::ServiceAccount(_))
            | (BucketKind::AzureBlobStorage, Self::Azure(_)) => Ok(()),
            (BucketKind::S3, _) => is_of(kind, "accessKey and secretKey"),
            (BucketKind::GoogleCloudStorage, _) => is_of(kind, "serviceAccountKey"),
            (BucketKind::AzureBlobStorage, _) => is_of(kind, "accountKey or sasToken"),
        }
    }
}

impl Storage {
    pub(super) fn check(&self, field: &str) -> Result<(), Error> {
        let of_backup = [
            ("bucket", self.bucket.is_some()),
            ("vendor", self.vendor.is_some_and(|named| named.kind.is_s3())),
            ("afterSeconds", self.after_seconds.is_some()),
        ];
        if let Some((name, _)) = of_backup.iter().find(|(_, is_given)| *is_given) {
            return Err(invalid(&format!(
                "{field}.{name}: is a field of backup alone; StartCloudRecording names the bucket"
            )));
        }
        self.check_directory(field)?;
        if self.identity.is_some() && self.credential_files.is_some() {
            return Err(invalid(&format!("{field}.identity: is instead of credentialFiles; leave one of them out")));
        }
        self.check_kind(field)?;
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(&format!("{field}."), endpoint)?;
        }
        self.region.as_deref().map_or(Ok(()), |region| check_name(&format!("{field}.region"), region))?;
        self.objects.check(&format!("{field}.objects."))?;
        let wrong_part = |part: &str| matches!(part, "" | "." | "..") || part.contains(|c: char| c.is_control());
        if self.prefix.as_deref().is_some_and(|prefix| prefix.split('/').any(wrong_part)) {
            return Err(invalid(&format!("{field}.prefix: must be names joined by '/', with none at either end")));
        }
        Ok(())
    }
}

impl Storage {
    /// What the bucket speaks.
    #[must_use]
    pub fn kind(&self) -> BucketKind {
        self.vendor.unwrap_or_default().kind
    }

    /// What is S3's alone is not dropped unseen.
    fn check_kind(&self, field: &str) -> Result<(), Error> {
        let (kind, acts_as) = (self.kind(), self.google_service_account.as_deref());
        if let Some(files) = &self.credential_files {
            files.check(field, kind)?;
        }
        let lacking = match kind {
            BucketKind::S3 => &[("account", self.account.is_some()), ("googleServiceAccount", acts_as.is_some())][..],
            BucketKind::AzureBlobStorage => &[
                ("googleServiceAccount", acts_as.is_some()),
                ("identity Instance", self.identity == Some(Identity::Instance)),
                ("region", self.region.is_some()),
                ("pathStyle", self.path_style.is_some()),
            ],
            BucketKind::GoogleCloudStorage => &[
                ("account", self.account.is_some()),
                ("region", self.region.is_some()),
                ("pathStyle", self.path_style.is_some()),
            ],
        };
        refuse_lacking(&format!("{field}."), kind, lacking)?;
        check_account(&format!("{field}."), kind, self.account.as_deref())?;
        if acts_as.is_some() && self.identity != Some(Identity::Environment) {
            let why = "is of identity Environment alone; leave it out";
            return Err(invalid(&format!("{field}.googleServiceAccount: {why}")));
        }
        if acts_as.is_some_and(|account| !is_service_account(account)) {
            let why = "must be the e-mail address of a Google service account";
            return Err(invalid(&format!("{field}.googleServiceAccount: {why}")));
        }
        self.objects.check_kind(&format!("{field}.objects."), kind)
    }

    /// A directory has none of what buckets have; nothing of that is dropped unseen.
    fn check_directory(&self, field: &str) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if !directory.is_absolute() {
            return Err(invalid(&format!("{field}.directory: must be an absolute path")));
        }
        let of_buckets = [
            ("vendor", self.vendor.is_some()),
            ("account", self.account.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("pathStyle", self.path_style.is_some()),
            ("caFile", self.ca_file.is_some()),
            ("proxyUrl", self.proxy_url.is_some()),
            ("livePlaylist", self.live_playlist.is_some()),
            ("objects", self.objects != ObjectOptions::default()),
            ("credentialFiles", self.credential_files.is_some()),
            ("identity", self.identity.is_some()),
            ("googleServiceAccount", self.google_service_account.is_some()),
        ];
        match of_buckets.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(invalid(&format!("{field}.{name}: a directory has none; leave it out"))),
            None => Ok(()),
        }
    }
}

/// Refuses what is given of this and no bucket of the kind has.
fn refuse_lacking(before: &str, kind: BucketKind, lacking: &[(&str, bool)]) -> Result<(), Error> {
    match lacking.iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(invalid(&format!("{before}{name}: vendor {} has none; leave it out", kind.name()))),
        None => Ok(()),
    }
}

/// A bucket of Azure's is in a storage account, which has the name that its keys go by.
fn check_account(before: &str, kind: BucketKind, account: Option<&str>) -> Result<(), Error> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    match (kind, account) {
        (BucketKind::AzureBlobStorage, None) => {
            Err(invalid(&format!("{before}account: is required of vendor {}", kind.name())))
        }
        (_, Some(account)) if !(3..=24).contains(&account.len()) || !is_name(account) => {
            Err(invalid(&format!("{before}account: must be 3 to 24 lower-case letters and digits")))
        }
        _ => Ok(()),
    }
}

impl BucketLocation {
    /// The location in the text; an error names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let location: Self =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| invalid(&explain(&error)))?;
        deserializer.end().map_err(|_| invalid("there is something after the end of the JSON document"))?;
        location.check("")?;
        Ok(location)
    }

    pub(super) fn check(&self, before: &str) -> Result<(), Error> {
        let of_s3 = [("region", self.region.is_some()), ("pathStyle", self.path_style.is_some())];
        let kind = self.vendor.kind;
        if !kind.is_s3() {
            refuse_lacking(before, kind, &of_s3)?;
        }
        if kind != BucketKind::AzureBlobStorage {
            refuse_lacking(before, kind, &[("account", self.account.is_some())])?;
        }
        check_account(before, kind, self.account.as_deref())?;
        check_location(before, &self.bucket, self.vendor, self.endpoint.as_deref(), self.region.as_deref())
    }
}

/// What any bucket must have to be found.
fn check_location(
    before: &str,
    bucket: &str,
    runner: NamedVendor,
    endpoint: Option<&str>,
    region: Option<&str>,
) -> Result<(), Error> {
    if bucket.is_empty() {
        return Err(invalid(&format!("{before}bucket: is required")));
    }
    check_name(&format!("{before}bucket"), bucket)?;
    region.map_or(Ok(()), |region| check_name(&format!("{before}region"), region))?;
    if !runner.kind.is_s3() {
        return endpoint.map_or(Ok(()), |endpoint| check_endpoint(before, endpoint));
    }
    if runner.vendor.is_none() && endpoint.is_none() {
        let beyond = BucketKind::BEYOND_THE_INTERFACE.map(BucketKind::name);
        let names: Vec<_> = Vendor::names().chain(beyond).collect();
        let (last, first) = names.split_last().unwrap_or((&"", &[]));
        let names = format!("{} or {last}", first.join(", "));
        return Err(invalid(&format!("{before}endpoint: is required, unless {before}vendor names {names}")));
    }
    if runner.vendor.is_some() && endpoint.is_none() && region.is_none() {
        return Err(invalid(&format!("{before}region: is required where {before}endpoint is left out")));
    }
    endpoint.map_or(Ok(()), |endpoint| check_endpoint(before, endpoint))
}

/// What a bucket's or a region's name may be.
pub fn check_name(field: &str, name: &str) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    Err(invalid(&format!("{field}: must be a name of ASCII letters, digits, '.', '_' and '-'")))
}

fn check_endpoint(before: &str, endpoint: &str) -> Result<(), Error> {
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    let plain = host.map(|host| host.strip_suffix('/').unwrap_or(host));
    let is_location = |host: &str| !host.contains(['/', '?', '#', '@']) && endpoint.parse::<http::Uri>().is_ok();
    if !plain.is_some_and(is_location) {
        return Err(invalid(&format!("{before}endpoint: must be http:// or https://, a host, and at most a port")));
    }
    Ok(())
}

impl TryFrom<Storage> for BackupSettings {
    type Error = &'static str;

    fn try_from(mut storage: Storage) -> Result<Self, Self::Error> {
        let is_bucket = storage.directory.is_none();
        if is_bucket && storage.bucket.is_none() {
            return Err("missing field `bucket`");
        }
        match (is_bucket, &storage.credential_files, storage.identity) {
            (true, None, None) => return Err("missing field `credentialFiles` or `identity`"),
            (true, Some(_), Some(_)) => return Err("identity: is instead of credentialFiles; leave one of them out"),
            _ => {}
        }
        if !is_bucket && storage.vendor.is_some() {
            return Err("vendor: a directory has none; leave it out");
        }
        let vendor = storage.vendor.unwrap_or_default();
        // What the bucket speaks stays there, as beside the bucket of the call.
        storage.vendor = storage.vendor.filter(|named| !named.kind.is_s3());
        Ok(Self {
            bucket: storage.bucket.take().unwrap_or_default(),
            vendor,
            credential_files: storage.credential_files.take(),
            after_seconds: storage.after_seconds.take().unwrap_or(AFTER_SECONDS),
            storage,
        })
    }
}

impl BackupSettings {
    #[must_use]
    pub fn after(&self) -> Duration {
        Duration::from_secs(u64::from(self.after_seconds))
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let Storage { endpoint, region, directory, .. } = &self.storage;
        if directory.is_some() {
            self.check_of_directory()?;
        } else {
            check_location("backup.", &self.bucket, self.vendor, endpoint.as_deref(), region.as_deref())?;
        }
        let stranger = self.vendor.vendor.filter(|vendor| !vendor.knows_identities());
        if let (Some(_), Some(vendor)) = (self.storage.identity, stranger) {
            return Err(invalid(&format!("backup.identity: {vendor} has none; name credentialFiles")));
        }
        if let Some(files) = &self.credential_files {
            files.check("backup", self.vendor.kind)?;
        }
        if let Some(vendor) = self.vendor.vendor {
            self.storage.objects.check_vendor("backup.objects.", vendor)?;
        }
        if self.after_seconds > MOST_AFTER_SECONDS {
            return Err(invalid(&format!("backup.afterSeconds: must be at most {MOST_AFTER_SECONDS}")));
        }
        self.storage.check("backup")
    }

    fn check_of_directory(&self) -> Result<(), Error> {
        let given = [("bucket", !self.bucket.is_empty()), ("credentialFiles", self.credential_files.is_some())];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(invalid(&format!("backup.{name}: a directory has none; leave it out"))),
            None => Ok(()),
        }
    }
}
