// SPDX-License-Identifier: Apache-2.0
//! Why a file did not get into its store: told apart by the server's error code or by the error's type, never by words,
//! and put into a sentence that says what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use http::StatusCode;
use quick_xml::events::Event;

use crate::config::{Encryption, ObjectOptions};
use crate::storage::target::Target;
use crate::storage::vendor::BucketKind;

/// So many characters of an answer in words are quoted.
const QUOTED: usize = 300;

/// The cause; two errors with the same cause are told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCause {
    NoSuchBucket,
    NoSuchDirectory,
    /// The store has lost a file that it held.
    FileGone,
    AccessDenied,
    InvalidAccessKeyId,
    SignatureDoesNotMatch,
    /// Session credentials that are no longer valid.
    ExpiredToken,
    ClockSkew,
    WrongRegion,
    QuotaExceeded,
    /// The server has trouble of its own, or wants fewer requests.
    Server(u16),
    /// Any other refusal, by the server's code or the status.
    Refusal(String),
    /// The answer does not prove that the bucket holds what was sent.
    Unverified,
    /// Something else is there under the name, where nothing is put twice.
    Occupied,
    HostUnknown,
    ConnectionRefused,
    Unreachable,
    /// The proxy on the way to it is not there, or does not let this machine through.
    Proxy,
    Tls,
    Timeout,
    /// The bucket's keys cannot be read.
    Credentials,
    /// Nothing gives this process an identity that opens the bucket.
    IdentityMissing,
    /// Whoever gives out keys does not give them to this identity.
    IdentityRefused,
    IdentityUnreachable,
    /// The file to upload cannot be read.
    LocalFile,
    /// The file to upload is not what was written.
    Damaged,
    /// The store cannot be set up as configured.
    Setup,
    Other,
}

impl StoreCause {
    /// Whether the store no longer knows parts that it was sent.
    #[must_use]
    pub fn is_of_forgotten_parts(&self) -> bool {
        matches!(self, Self::Refusal(code) if matches!(code.as_str(), "NoSuchUpload" | "InvalidBlockList"))
    }

    /// Whether the store refuses for what it has under the name: by a condition of the put, or as it lets nobody replace it.
    #[must_use]
    pub fn is_of_what_is_there(&self) -> bool {
        let codes = [
            "412",
            "PreconditionFailed",
            "BlobAlreadyExists",
            "BlobImmutableDueToPolicy",
            "FileAlreadyExists",
            "FileImmutable",
        ];
        matches!(self, Self::Refusal(code) if codes.contains(&code.as_str()))
    }

    /// The same where stores say it by a code that they have for other things, too.
    #[must_use]
    pub fn may_be_of_what_is_there(&self) -> bool {
        matches!(self, Self::Refusal(_) | Self::AccessDenied)
    }

    /// The cause in one word for programs; part of the snapshot.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoSuchBucket => "NoSuchBucket",
            Self::NoSuchDirectory => "NoSuchDirectory",
            Self::FileGone => "StoredFileGone",
            Self::AccessDenied => "AccessDenied",
            Self::InvalidAccessKeyId => "InvalidAccessKey",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::ExpiredToken => "ExpiredToken",
            Self::ClockSkew => "ClockSkew",
            Self::WrongRegion => "WrongRegion",
            Self::QuotaExceeded => "StorageFull",
            Self::Server(_) => "StorageServerError",
            Self::Refusal(_) | Self::Occupied => "UploadRefused",
            Self::Unverified => "UploadUnverified",
            Self::HostUnknown => "StorageHostUnknown",
            Self::ConnectionRefused => "StorageConnectionRefused",
            Self::Unreachable => "StorageUnreachable",
            Self::Proxy => "StorageProxyFailed",
            Self::Tls => "StorageCertificateUntrusted",
            Self::Timeout => "StorageTimeout",
            Self::Credentials => "CredentialsUnreadable",
            Self::IdentityMissing => "IdentityMissing",
            Self::IdentityRefused => "IdentityRefused",
            Self::IdentityUnreachable => "IdentityUnreachable",
            Self::LocalFile | Self::Damaged => "WorkVolumeUnreadable",
            Self::Setup => "StorageConfigurationInvalid",
            Self::Other => "StorageFailed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    pub cause: StoreCause,
    /// What is particular about it; without secrets.
    pub detail: String,
    /// How long the store wants to be left alone, if it says so.
    pub retry_after: Option<Duration>,
}

impl StoreError {
    #[must_use]
    pub fn new(cause: StoreCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), retry_after: None }
    }

    /// The same of an answer with this `Retry-After`, which is in seconds or a date; any other says nothing.
    #[must_use]
    pub fn with_retry_after(self, header: Option<&str>, now: DateTime<Utc>) -> Self {
        let left = |date: DateTime<FixedOffset>| (date.to_utc() - now).to_std().unwrap_or_default();
        let until = |text: &str| DateTime::parse_from_rfc2822(text).ok().map(left);
        let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
        let retry_after = header.map(str::trim).and_then(|text| seconds(text).or_else(|| until(text)));
        Self { retry_after, ..self }
    }

    /// Whether the store has to be opened anew: whom it trusts is read then, and may be mended meanwhile, and keys that
    /// are given out are asked for anew.
    #[must_use]
    pub fn lasts_while_open(&self) -> bool {
        let refused = [
            StoreCause::ExpiredToken,
            StoreCause::InvalidAccessKeyId,
            StoreCause::IdentityUnreachable,
            StoreCause::Tls,
        ];
        refused.contains(&self.cause)
    }

    /// This, which was found out of what is there instead, as why that is in the way of what was refused.
    #[must_use]
    pub fn of_another_object(self, refused: &Self) -> Self {
        Self::new(StoreCause::Occupied, format!("{}: {}", refused.detail, self.detail))
    }

    /// The failure that an answer with an error status means.
    #[must_use]
    pub fn from_answer(status: StatusCode, body: &str) -> Self {
        let [code, words] = elements(body, ["Code", "Message"]);
        let cause = match code.as_str() {
            "NoSuchBucket" => StoreCause::NoSuchBucket,
            "NoSuchKey" => StoreCause::FileGone,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UserProjectAccountProblem" => {
                StoreCause::AccessDenied
            }
            "InvalidAccessKeyId" => StoreCause::InvalidAccessKeyId,
            "SignatureDoesNotMatch" => StoreCause::SignatureDoesNotMatch,
            "ExpiredToken" | "InvalidToken" | "InvalidTokenId" | "TokenRefreshRequired" => StoreCause::ExpiredToken,
            "RequestTimeTooSkewed" | "RequestExpired" => StoreCause::ClockSkew,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => StoreCause::WrongRegion,
            "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "ServiceQuotaExceeded" => {
                StoreCause::QuotaExceeded
            }
            "SlowDown" | "InternalError" | "ServiceUnavailable" => StoreCause::Server(status.as_u16()),
            "" if status == StatusCode::FORBIDDEN => StoreCause::AccessDenied,
            _ if status == StatusCode::UNAUTHORIZED => StoreCause::InvalidAccessKeyId,
            "" if status.is_redirection() => StoreCause::WrongRegion,
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                StoreCause::Server(status.as_u16())
            }
            "" => StoreCause::Refusal(status.as_u16().to_string()),
            code => StoreCause::Refusal(code.to_owned()),
        };
        let detail = match (code.as_str(), words.as_str()) {
            ("", "") => status.to_string(),
            (code, "") => code.to_owned(),
            (code, words) => format!("{code}: {}", words.trim_end_matches('.')),
        };
        Self::new(cause, detail)
    }

    /// The same of a server that may answer in words alone, which are quoted.
    #[must_use]
    pub fn from_words(status: StatusCode, body: &str) -> Self {
        let failure = Self::from_answer(status, body);
        let words = body.split_whitespace().collect::<Vec<_>>().join(" ");
        if failure.detail != status.to_string() || words.is_empty() {
            return failure;
        }
        let quoted: String = words.chars().take(QUOTED).collect();
        Self { detail: format!("{status}: {}", quoted.trim_end_matches('.')), ..failure }
    }

    /// The failure inside an error of the storage library, whichever layer it came from.
    #[must_use]
    pub fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let mut innermost = error;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = known(error) {
                return failure;
            }
            innermost = error;
            next = inner(error);
        }
        Self::new(StoreCause::Other, innermost.to_string())
    }

    /// The sentence for a person: what happened where, and the way out.
    #[must_use]
    pub fn sentence(&self, target: &Target) -> String {
        let (what, way_out) = self.words_of(target);
        format!("{} {what}: {way_out} ({})", target.store(), self.detail)
    }

    /// The same without the way out, for whoever knows a better one.
    #[must_use]
    pub fn fact(&self, target: &Target) -> String {
        format!("{} {} ({})", target.store(), self.words_of(target).0, self.detail)
    }

    /// What the store does, and the way out.
    fn words_of(&self, target: &Target) -> (&'static str, &'static str) {
        match target {
            Target::Bucket(bucket) => match bucket.kind {
                BucketKind::S3 => self.words_of_objects(&bucket.objects),
                BucketKind::GoogleCloudStorage => self.words_of_google(&bucket.objects),
                BucketKind::AzureBlobStorage => self.words_of_azure(),
            },
            Target::Directory(_) => self.words_of_directory(),
        }
        .unwrap_or_else(|| self.words())
    }

    /// The same of what an S3 server is asked for with every object, where it differs.
    fn words_of_objects(&self, objects: &ObjectOptions) -> Option<(&'static str, &'static str)> {
        let has_tags = !objects.tags.is_empty();
        let has_kms = matches!(objects.server_side_encryption, Some(Encryption::Kms { .. }));
        Some(match &self.cause {
            StoreCause::AccessDenied if has_tags || has_kms => (
                "denies access",
                match (has_tags, has_kms) {
                    (true, true) => {
                        "let the access key or role put objects with tags and the KMS key (s3:PutObject, \
                         s3:PutObjectTagging, kms:GenerateDataKey, kms:Decrypt; in a backup store s3:GetObject, too), \
                         or use another"
                    }
                    (true, false) => {
                        "let the access key or role put objects with tags (s3:PutObject, s3:PutObjectTagging; in a \
                         backup store s3:GetObject, too), or use another"
                    }
                    (false, _) => {
                        "let the access key or role put objects with the KMS key (s3:PutObject, kms:GenerateDataKey, \
                         kms:Decrypt; in a backup store s3:GetObject, too), or use another"
                    }
                },
            ),
            // Amazon's codes, and those of MinIO's KMS.
            StoreCause::Refusal(code) if code.starts_with("KMS.") || code.starts_with("kms:") => {
                ("cannot use the KMS key", "correct objects.serverSideEncryption.kmsKeyId, or enable the key")
            }
            StoreCause::Refusal(code) if code == "InvalidStorageClass" => {
                ("has no such storage class", "correct objects.storageClass")
            }
            StoreCause::Refusal(code) if code == "InvalidTag" => ("does not take the tags", "correct objects.tags"),
            StoreCause::Server(501) if !objects.is_default() => {
                ("does not have what it is asked for", "leave out of objects what it does not have")
            }
            _ => return None,
        })
    }

    /// The same of Google Cloud Storage, where it differs.
    fn words_of_google(&self, objects: &ObjectOptions) -> Option<(&'static str, &'static str)> {
        Some(match &self.cause {
            StoreCause::AccessDenied if objects.kms_key_name.is_some() => (
                "denies access",
                "let the service account put, replace and get objects (roles/storage.objectUser), and Cloud Storage's own \
                 use the key (roles/cloudkms.cryptoKeyEncrypterDecrypter)",
            ),
            StoreCause::NoSuchBucket => ("does not exist", "create it, or correct the bucket's name or endpoint"),
            StoreCause::AccessDenied => (
                "denies access",
                "let the service account, or the pod's principal, put, replace and get objects (roles/storage.objectUser), or \
                 use another one",
            ),
            StoreCause::InvalidAccessKeyId | StoreCause::SignatureDoesNotMatch => (
                "does not accept the service account's key or token",
                "use a key that is there and enabled, and see that this machine's clock is right",
            ),
            StoreCause::IdentityRefused => (
                "cannot be opened: this process' identity is given no token",
                "where it is the pod's own, run it where GKE's metadata server is (workload identity federation for GKE), and \
                 name in googleServiceAccount whom it acts as, if anybody",
            ),
            StoreCause::HostUnknown => ("has a host name that does not resolve", "correct the endpoint, or mend DNS"),
            _ => return None,
        })
    }

    /// The same of Azure Blob Storage, where it differs.
    fn words_of_azure(&self) -> Option<(&'static str, &'static str)> {
        Some(match &self.cause {
            StoreCause::NoSuchBucket => ("does not exist", "create the container, or correct its name, account or endpoint"),
            StoreCause::AccessDenied => (
                "denies access",
                "let who opens the container write blobs, in a backup store also read them (of a SAS token `cw` and `r`, of an \
                 identity the role Storage Blob Data Contributor), from this network, too",
            ),
            StoreCause::InvalidAccessKeyId | StoreCause::SignatureDoesNotMatch => (
                "does not accept the account key, SAS token or identity",
                "use one that is the account's, and of a SAS token the container's",
            ),
            StoreCause::ExpiredToken => ("says that the SAS token has expired", "make another one"),
            StoreCause::HostUnknown => {
                ("has a host name that does not resolve", "correct the account or endpoint, or mend DNS")
            }
            _ => return None,
        })
    }

    /// The same of a directory, where it differs.
    fn words_of_directory(&self) -> Option<(&'static str, &'static str)> {
        Some(match &self.cause {
            StoreCause::AccessDenied => (
                "cannot be written to by this user",
                "let the recorder's user write there, on a file system that takes writes",
            ),
            StoreCause::QuotaExceeded => ("is full", "make room there, or raise its quota"),
            StoreCause::Unverified => ("did not give back what was written", "check its disk"),
            StoreCause::Timeout => ("does not answer in time", "check its disk, or the network that it is on"),
            _ => return None,
        })
    }

    fn words(&self) -> (&'static str, &'static str) {
        match &self.cause {
            StoreCause::NoSuchDirectory => ("is not there", "create it, or mount what is to be there"),
            StoreCause::NoSuchBucket => ("does not exist", "create it, or correct the bucket's name, region or endpoint"),
            StoreCause::FileGone => ("does not hold a file that was put there", "put it back"),
            StoreCause::Occupied => (
                "holds something else under this name, where nothing is put twice",
                "see that nobody else puts files under the recording's names, and remove it once that is allowed",
            ),
            StoreCause::AccessDenied => (
                "denies access",
                "let the access key or role put objects (s3:PutObject; in a backup store s3:GetObject, too), or use another",
            ),
            StoreCause::InvalidAccessKeyId => ("does not know the access key", "correct the access key"),
            StoreCause::SignatureDoesNotMatch => {
                ("rejects the signature", "correct the secret key: it does not belong to the access key")
            }
            StoreCause::ExpiredToken => ("says that the credentials have expired", "renew the credentials"),
            StoreCause::ClockSkew => ("finds this machine's clock too far off", "set the clock"),
            StoreCause::WrongRegion => ("is in another region", "correct the region or the endpoint"),
            StoreCause::QuotaExceeded => ("is full", "raise its quota, or make room"),
            StoreCause::Server(_) => ("answers that it has trouble", "nothing if it passes; else ask who runs it"),
            StoreCause::Refusal(_) => ("refuses the upload", "ask who runs it"),
            StoreCause::Unverified => ("did not prove that it stored what was sent", "ask who runs it"),
            StoreCause::HostUnknown => {
                ("has a host name that does not resolve", "correct the endpoint or region, or mend DNS")
            }
            StoreCause::ConnectionRefused => ("refuses connections", "start the server, or correct the endpoint's port"),
            StoreCause::Unreachable => ("cannot be reached", "mend the network, or correct the endpoint"),
            StoreCause::Proxy => (
                "is not reached through its proxy",
                "start the proxy, let it pass requests to the store on without a login, name the authority of its certificate in \
                 caFile where it has one, or correct proxyUrl",
            ),
            StoreCause::Tls => {
                ("has no trusted TLS connection", "name its certificate authority in caFile, or correct the endpoint")
            }
            StoreCause::Timeout => ("does not answer in time", "mend the network, or ask who runs it"),
            StoreCause::Credentials => ("cannot be opened: its keys cannot be read", "provide the credential files"),
            StoreCause::IdentityMissing => {
                ("cannot be opened: this process has no identity", "run it with the variables of a role's identity")
            }
            StoreCause::IdentityRefused => {
                ("cannot be opened: this process' identity is given no keys", "let it assume the role")
            }
            StoreCause::IdentityUnreachable => (
                "cannot be opened: whoever gives out its keys cannot be reached",
                "mend the network, or the policy, on the way there",
            ),
            StoreCause::LocalFile => ("waits for a file that cannot be read here", "mend the work volume"),
            StoreCause::Damaged => ("does not get a file that is damaged here", "mend the work volume"),
            StoreCause::Setup => ("cannot be used as configured", "correct the storage configuration"),
            StoreCause::Other => ("cannot be written to", "see what it says"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for StoreError {}

/// A host name without an address: an error type of its own, as the resolver's has no kind that tells it.
#[derive(Debug)]
pub struct HostUnknown(pub io::Error);

impl fmt::Display for HostUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for HostUnknown {}

fn known(error: &(dyn StdError + 'static)) -> Option<StoreError> {
    if let Some(failure) = error.downcast_ref::<StoreError>() {
        return Some(failure.clone());
    }
    if error.is::<HostUnknown>() {
        return Some(StoreError::new(StoreCause::HostUnknown, error.to_string()));
    }
    if error.is::<rustls::Error>() {
        return Some(StoreError::new(StoreCause::Tls, error.to_string()));
    }
    let cause = match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => StoreCause::ConnectionRefused,
        io::ErrorKind::TimedOut => StoreCause::Timeout,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => StoreCause::Unreachable,
        _ => return None,
    };
    Some(StoreError::new(cause, error.to_string()))
}

/// What an error wraps; an I/O error hides what it was made of from `source`.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source())
}

/// The texts of the first elements of these names, wherever they are; empty where there is none, or no XML.
pub(super) fn elements<const COUNT: usize>(text: &str, names: [&str; COUNT]) -> [String; COUNT] {
    let mut found = [const { String::new() }; COUNT];
    let mut reader = quick_xml::Reader::from_str(text);
    // What a server breaks off, or is no XML any more, tells what it told before.
    while let Ok(event) = reader.read_event() {
        let start = match event {
            Event::Start(start) => start,
            Event::Eof => break,
            _ => continue,
        };
        let index = names.iter().position(|name| start.local_name().as_ref() == name.as_bytes());
        let Some(into) = index.map(|index| &mut found[index]).filter(|into| into.is_empty()) else { continue };
        if let Ok(text) = reader.read_text(start.name()) {
            let text = text.decode().unwrap_or_default();
            quick_xml::escape::unescape(&text).unwrap_or_default().trim().clone_into(into);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> StoreCause {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Words.</Message></Error>");
        StoreError::from_answer(StatusCode::from_u16(status).unwrap(), if code.is_empty() { "" } else { &body }).cause
    }

    #[test]
    fn answers_are_told_apart_by_the_servers_code() {
        let table = [
            (404, "NoSuchBucket", StoreCause::NoSuchBucket),
            (404, "NoSuchKey", StoreCause::FileGone),
            (403, "AccessDenied", StoreCause::AccessDenied),
            (403, "InvalidAccessKeyId", StoreCause::InvalidAccessKeyId),
            (404, "InvalidAccessKeyId", StoreCause::InvalidAccessKeyId),
            (403, "SignatureDoesNotMatch", StoreCause::SignatureDoesNotMatch),
            (400, "ExpiredToken", StoreCause::ExpiredToken),
            (403, "InvalidTokenId", StoreCause::ExpiredToken),
            (403, "RequestTimeTooSkewed", StoreCause::ClockSkew),
            (301, "PermanentRedirect", StoreCause::WrongRegion),
            (403, "QuotaExceeded", StoreCause::QuotaExceeded),
            (400, "XMinioAdminBucketQuotaExceeded", StoreCause::QuotaExceeded),
            (507, "XMinioStorageFull", StoreCause::QuotaExceeded),
            (503, "SlowDown", StoreCause::Server(503)),
            (500, "Whatever", StoreCause::Server(500)),
            (400, "BadDigest", StoreCause::Refusal("BadDigest".into())),
            (403, "", StoreCause::AccessDenied),
            (401, "", StoreCause::InvalidAccessKeyId),
            (401, "AuthenticationRequired", StoreCause::InvalidAccessKeyId),
            (403, "UserProjectAccountProblem", StoreCause::AccessDenied),
            (307, "", StoreCause::WrongRegion),
            (502, "", StoreCause::Server(502)),
            (429, "", StoreCause::Server(429)),
            (418, "", StoreCause::Refusal("418".into())),
        ];
        for (status, code, cause) in table {
            assert_eq!(answer(status, code), cause, "{status} {code}");
        }
    }

    #[test]
    fn a_denial_names_the_rights_that_what_is_asked_for_takes() {
        let sentence = |objects: &str, status: u16, code: &str| {
            let storage =
                serde_json::from_str(&format!(r#"{{"endpoint": "http://s3", "objects": {objects}}}"#)).unwrap();
            let target = Target::new(crate::storage::vendor::Vendor::Aws, "us-east-1", "films", &storage);
            StoreError::new(answer(status, code), "words").sentence(&target)
        };
        let (tags, kms) = (r#""tags": {"a": "b"}"#, r#""serverSideEncryption": {"mode": "SSE-KMS"}"#);
        for (objects, rights) in [
            (String::new(), "(s3:PutObject;"),
            (tags.to_owned(), "(s3:PutObject, s3:PutObjectTagging;"),
            (kms.to_owned(), "(s3:PutObject, kms:GenerateDataKey, kms:Decrypt;"),
            (format!("{tags}, {kms}"), "(s3:PutObject, s3:PutObjectTagging, kms:GenerateDataKey, kms:Decrypt;"),
        ] {
            let told = sentence(&format!("{{{objects}}}"), 403, "AccessDenied");
            assert!(told.contains(rights), "{objects}: {told}");
        }
        let none = "{}";
        for (objects, status, code, way_out) in [
            (none, 400, "KMS.NotFoundException", "kmsKeyId"),
            (none, 404, "kms:KeyNotFound", "kmsKeyId"),
            (none, 400, "InvalidStorageClass", "correct objects.storageClass"),
            (none, 400, "InvalidTag", "correct objects.tags"),
            (none, 501, "NotImplemented", "nothing if it passes"),
            (r#"{"tags": {"a": "b"}}"#, 501, "NotImplemented", "leave out of objects"),
        ] {
            let told = sentence(objects, status, code);
            assert!(told.contains(way_out), "{code}: {told}");
        }
    }

    #[test]
    fn an_answer_tells_what_it_can_however_it_is_written() {
        let detail = |body: &str| StoreError::from_answer(StatusCode::BAD_REQUEST, body).detail;
        for (body, expected) in [
            ("<Error xmlns=\"http://s3\"><Code>A</Code><Message>one &amp; two.</Message></Error>", "A: one & two"),
            ("<ErrorResponse><Error>\n <Code> A </Code></Error><RequestId>r</RequestId></ErrorResponse>", "A"),
            ("<Error><Code>A</Code><Message>brok", "A"),
            ("<Error><Code>A</Code><Code>B</Code></Error>", "A"),
            ("<html><body>no code</body></html>", "400 Bad Request"),
            ("{\"Code\": \"A\"}", "400 Bad Request"),
            ("", "400 Bad Request"),
        ] {
            assert_eq!(detail(body), expected, "{body}");
        }
    }

    #[test]
    fn a_store_that_wants_to_be_left_alone_says_for_how_long() {
        let now = DateTime::parse_from_rfc3339("2026-11-27T22:00:00Z").unwrap().to_utc();
        let wait = |header| StoreError::new(StoreCause::Other, "").with_retry_after(header, now).retry_after;
        assert_eq!(wait(Some("120")), Some(Duration::from_secs(120)));
        assert_eq!(wait(Some("Fri, 27 Nov 2026 22:00:07 GMT")), Some(Duration::from_secs(7)));
        assert_eq!(wait(Some("Fri, 27 Nov 2026 21:00:00 GMT")), Some(Duration::ZERO), "it is over");
        for nothing in [None, Some(""), Some("soon"), Some("-1"), Some("1.5")] {
            assert_eq!(wait(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn errors_are_told_apart_by_their_type_however_deep() {
        #[derive(Debug)]
        struct Outer(Box<dyn StdError + Send + Sync>);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(self.0.as_ref())
            }
        }
        let cause = |error: Box<dyn StdError + Send + Sync>| StoreError::from_error(&Outer(error)).cause;
        let io = |kind: io::ErrorKind| io::Error::new(kind, "words");
        assert_eq!(cause(Box::new(io(io::ErrorKind::ConnectionRefused))), StoreCause::ConnectionRefused);
        assert_eq!(cause(Box::new(io(io::ErrorKind::ConnectionReset))), StoreCause::Unreachable);
        assert_eq!(cause(Box::new(HostUnknown(io(io::ErrorKind::Other)))), StoreCause::HostUnknown);
        assert_eq!(cause(Box::new(io::Error::other(rustls::Error::DecryptError))), StoreCause::Tls);
        assert_eq!(
            cause(Box::new(io::Error::other(Outer(Box::new(io(io::ErrorKind::TimedOut)))))),
            StoreCause::Timeout
        );
        assert_eq!(cause(Box::new(io(io::ErrorKind::Other))), StoreCause::Other);
    }
}
