// SPDX-License-Identifier: Apache-2.0
//! Where a recording's files go: everything about the store but its keys, so that it may be written down.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config;
use crate::storage::proxy::ProxyUrl;
use crate::storage::vendor::{BucketKind, NamedVendor, Vendor};

/// What requests to a server of the user's own are signed with, where the configuration names no region.
const REGION_OF_OTHER_SERVERS: &str = "us-east-1";
/// A server of the user's own has an endpoint; what any vendor's name would add to that is nothing.
const VENDOR_OF_OTHER_SERVERS: Vendor = Vendor::Aws;
const GOOGLE: &str = "https://storage.googleapis.com";
const AZURE: &str = "blob.core.windows.net";

/// Told apart by their fields, as journals of earlier releases know buckets only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    Directory(DirectoryTarget),
    Bucket(BucketTarget),
}

/// A directory of this machine's, be it a disk's, a claim's or a server's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryTarget {
    pub directory: PathBuf,
    /// Directories below it, made as they are needed.
    pub prefix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketTarget {
    /// Journals of earlier releases know S3 alone, and do not say it.
    #[serde(default, skip_serializing_if = "BucketKind::is_s3")]
    pub kind: BucketKind,
    /// The storage account that the bucket is in; of Azure alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub path_style: bool,
    pub prefix: Option<String>,
    pub ca_file: Option<PathBuf>,
    /// Journals of earlier releases know none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<ProxyUrl>,
    /// Whether nothing is put twice under one key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub write_once: bool,
    #[serde(default, skip_serializing_if = "config::ObjectOptions::is_default")]
    pub objects: Box<config::ObjectOptions>,
}

impl Target {
    /// The directory of the document, or the bucket that vendor and region name.
    #[must_use]
    pub fn new(vendor: Vendor, region: &str, bucket: &str, storage: &config::Storage) -> Self {
        match &storage.directory {
            Some(directory) => Self::directory(directory, storage),
            None => Self::Bucket(BucketTarget::new(vendor, region, bucket, storage)),
        }
    }

    /// The backup store of the configuration.
    #[must_use]
    pub fn of_backup(backup: &config::BackupSettings) -> Self {
        let region = backup.storage.region.as_deref().unwrap_or(REGION_OF_OTHER_SERVERS);
        Self::new(backup.vendor.vendor.unwrap_or(VENDOR_OF_OTHER_SERVERS), region, &backup.bucket, &backup.storage)
    }

    #[must_use]
    pub fn directory(directory: &Path, storage: &config::Storage) -> Self {
        Self::Directory(DirectoryTarget { directory: directory.to_owned(), prefix: storage.prefix.clone() })
    }

    /// The same files at another location, where the store has such.
    #[must_use]
    pub fn moved(&self, location: &config::BucketLocation) -> Option<Self> {
        match self {
            Self::Bucket(bucket) if bucket.kind == location.vendor.kind => Some(Self::Bucket(bucket.moved(location))),
            _ => None,
        }
    }

    /// Whether files of this name are the same objects, however requests are addressed and signed.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bucket(bucket), Self::Bucket(other)) => bucket.is_at(other),
            (Self::Directory(directory), Self::Directory(other)) => directory.path() == other.path(),
            _ => false,
        }
    }

    /// What people call a store of its kind.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Bucket(_) => "bucket",
            Self::Directory(_) => "directory",
        }
    }

    /// The store in words.
    #[must_use]
    pub fn store(&self) -> String {
        match self {
            Self::Bucket(bucket) => format!("bucket {:?} at {}", bucket.bucket, bucket.service()),
            Self::Directory(directory) => format!("directory {}", directory.path().display()),
        }
    }

    /// Whether nothing is put twice under one name there.
    #[must_use]
    pub fn is_write_once(&self) -> bool {
        matches!(self, Self::Bucket(bucket) if bucket.write_once)
    }

    /// What whoever puts files there lacks who may not read them back.
    #[must_use]
    pub fn right_to_read(&self) -> &'static str {
        match self {
            Self::Bucket(bucket) => bucket.right_to_read(),
            Self::Directory(_) => "the right of the recorder's user to read there",
        }
    }

    /// The location in words.
    #[must_use]
    pub fn location(&self) -> String {
        let prefix = match self {
            Self::Bucket(bucket) => bucket.prefix.as_ref(),
            Self::Directory(_) => None,
        };
        format!("{}{}", self.store(), prefix.map_or(String::new(), |prefix| format!(", prefix {prefix:?}")))
    }

    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Bucket(bucket) => bucket.ca_file.as_deref(),
            Self::Directory(_) => None,
        }
    }

    #[must_use]
    pub fn proxy_url(&self) -> Option<&ProxyUrl> {
        match self {
            Self::Bucket(bucket) => bucket.proxy_url.as_ref(),
            Self::Directory(_) => None,
        }
    }

    /// The same with this proxy on the way, or none.
    #[must_use]
    pub fn behind(self, proxy_url: Option<ProxyUrl>) -> Self {
        match self {
            Self::Bucket(bucket) => Self::Bucket(BucketTarget { proxy_url, ..bucket }),
            directory @ Self::Directory(_) => directory,
        }
    }

    /// The same where the certificate authorities are in this file, and this proxy is on the way.
    #[must_use]
    pub fn reached_by(self, ca_file: Option<PathBuf>, proxy_url: Option<ProxyUrl>) -> Self {
        match self {
            Self::Bucket(bucket) => Self::Bucket(BucketTarget {
                ca_file: ca_file.or(bucket.ca_file.clone()),
                proxy_url: proxy_url.or(bucket.proxy_url.clone()),
                ..bucket
            }),
            directory @ Self::Directory(_) => directory,
        }
    }
}

impl DirectoryTarget {
    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.prefix.as_ref().map_or_else(|| self.directory.clone(), |prefix| self.directory.join(prefix))
    }
}

/// Where a server that speaks S3 answers, and the region that requests are signed with.
fn s3_server(vendor: Vendor, region: &str, storage: &config::Storage) -> (String, String) {
    let reached = vendor.endpoint(storage.region.as_deref().unwrap_or(region));
    match &storage.endpoint {
        // The vendor's region says nothing about a server of the user's own.
        Some(endpoint) => {
            (endpoint.clone(), storage.region.clone().unwrap_or_else(|| REGION_OF_OTHER_SERVERS.to_owned()))
        }
        None => (reached.endpoint, reached.region),
    }
}

/// Where the storage account answers.
fn azure(storage: &config::Storage) -> String {
    let usual = || format!("https://{}.{AZURE}", storage.account.as_deref().unwrap_or_default());
    storage.endpoint.clone().unwrap_or_else(usual)
}

impl BucketTarget {
    /// The bucket that vendor and region name, or that answers at the configured endpoint.
    #[must_use]
    pub fn new(vendor: Vendor, region: &str, bucket: &str, storage: &config::Storage) -> Self {
        let (endpoint, region) = match storage.kind() {
            BucketKind::S3 => s3_server(vendor, region, storage),
            BucketKind::GoogleCloudStorage => (storage.endpoint.as_deref().unwrap_or(GOOGLE).into(), String::new()),
            BucketKind::AzureBlobStorage => (azure(storage), String::new()),
        };
        Self {
            // A certificate for *.endpoint does not cover a bucket with a dot in its name.
            path_style: storage
                .path_style
                .unwrap_or_else(|| !storage.kind().is_s3() || storage.endpoint.is_some() || bucket.contains('.')),
            kind: storage.kind(),
            account: storage.account.clone(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region,
            bucket: bucket.to_owned(),
            prefix: storage.prefix.clone(),
            ca_file: storage.ca_file.clone(),
            proxy_url: storage.proxy_url.clone(),
            write_once: storage.live_playlist == Some(false),
            objects: Box::new(storage.objects.clone()),
        }
    }

    /// The same files at another location.
    fn moved(&self, location: &config::BucketLocation) -> Self {
        let region = location.region.as_deref().unwrap_or(REGION_OF_OTHER_SERVERS);
        let reached = config::Storage {
            account: location.account.clone(),
            endpoint: location.endpoint.clone(),
            region: location.region.clone(),
            path_style: location.path_style,
            proxy_url: location.proxy_url.clone(),
            vendor: Some(NamedVendor { kind: self.kind, vendor: None }),
            ..config::Storage::default()
        };
        let Self { account, endpoint, region, bucket, path_style, proxy_url, .. } =
            Self::new(location.vendor.vendor.unwrap_or(VENDOR_OF_OTHER_SERVERS), region, &location.bucket, &reached);
        Self { account, endpoint, region, bucket, path_style, proxy_url, ..self.clone() }
    }

    /// What whoever puts objects there lacks who may not read them back.
    #[must_use]
    pub fn right_to_read(&self) -> &'static str {
        match self.kind {
            BucketKind::S3 => "the access key's right to get objects (s3:GetObject)",
            BucketKind::GoogleCloudStorage => "the service account's right to get objects (storage.objects.get)",
            BucketKind::AzureBlobStorage => "the right to read blobs (of a SAS token `r`)",
        }
    }

    /// Where no account can be in the host, as of an address or a host without a domain, which no server of Azure's has.
    fn account_in_path(&self) -> Option<&str> {
        let uri: http::Uri = self.endpoint.parse().ok()?;
        let host = uri.host().unwrap_or_default();
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        self.account.as_deref().filter(|_| is_address || !host.contains('.'))
    }

    fn is_at(&self, other: &Self) -> bool {
        let address = |target: &Self| (target.endpoint.to_ascii_lowercase(), target.account.clone());
        let place = |target: &Self| (target.bucket.clone(), target.prefix.clone());
        address(self) == address(other) && place(self) == place(other)
    }

    /// The object's key for the file of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_owned(),
        }
    }

    /// What requests go to: the endpoint, with the bucket in its host or path, or the account.
    #[must_use]
    pub fn url(&self) -> String {
        match (self.path_style, self.endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", self.bucket),
            _ => self.service(),
        }
    }

    /// The endpoint, with the account where that is a part of its path.
    fn service(&self) -> String {
        match self.account_in_path() {
            Some(account) => format!("{}/{account}", self.endpoint),
            None => self.endpoint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(vendor: Vendor, region: &str, bucket: &str, storage: &str) -> BucketTarget {
        BucketTarget::new(vendor, region, bucket, &serde_json::from_str(storage).unwrap())
    }

    fn bucket_of(target: Target) -> BucketTarget {
        match target {
            Target::Bucket(bucket) => bucket,
            Target::Directory(directory) => panic!("{directory:?}"),
        }
    }

    #[test]
    fn journals_tell_directories_from_the_buckets_that_earlier_releases_wrote() {
        let bucket = r#"{"endpoint":"http://s3","region":"x","bucket":"films","pathStyle":true,"prefix":null,
            "caFile":null,"encryption":null,"tags":{},"storageClass":null}"#;
        let films = bucket_of(serde_json::from_str(bucket).unwrap());
        assert_eq!((films.bucket.as_str(), films.endpoint.as_str()), ("films", "http://s3"));
        let storage: config::Storage = serde_json::from_str(r#"{"directory": "/d", "prefix": "a/b"}"#).unwrap();
        let directory = Target::new(Vendor::Aws, "us-east-1", "", &storage);
        let read: Target = serde_json::from_str(&serde_json::to_string(&directory).unwrap()).unwrap();
        assert_eq!((read.location().as_str(), read.noun()), ("directory /d/a/b", "directory"));
        assert!(read.is_at(&directory) && !read.is_at(&Target::Bucket(films)));
    }

    #[test]
    fn vendors_put_the_bucket_into_the_host() {
        let aws = target(Vendor::Aws, "eu-west-1", "films", "{}");
        assert_eq!(aws.url(), "https://films.s3.eu-west-1.amazonaws.com");
        let oss = target(Vendor::Aliyun, "cn-beijing", "films", "{}");
        assert_eq!(
            (oss.url().as_str(), oss.region.as_str()),
            ("https://films.s3.oss-cn-beijing.aliyuncs.com", "cn-beijing")
        );
        let dotted = target(Vendor::Aws, "eu-west-1", "films.example.com", "{}");
        assert_eq!(dotted.url(), "https://s3.eu-west-1.amazonaws.com");
    }

    #[test]
    fn a_backup_store_is_found_by_vendor_and_region_or_endpoint() {
        let keys = r#""bucket": "spare", "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}"#;
        let url = |fields: &str| {
            bucket_of(Target::of_backup(&serde_json::from_str(&format!("{{{keys}, {fields}}}")).unwrap())).url()
        };
        assert_eq!(url(r#""vendor": "Aliyun", "region": "hangzhou""#), "https://spare.s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(url(r#""vendor": "AWS", "region": "eu-west-1""#), "https://spare.s3.eu-west-1.amazonaws.com");
        assert_eq!(url(r#""endpoint": "http://127.0.0.1:7071""#), "http://127.0.0.1:7071");
    }

    #[test]
    fn an_account_is_in_the_host_or_where_none_can_be_in_the_path() {
        let url = |endpoint: &str| {
            let storage = format!(r#"{{"vendor": "AzureBlobStorage", "account": "films1"{endpoint}}}"#);
            target(Vendor::Aws, "eu-west-1", "films", &storage).url()
        };
        assert_eq!(url(""), "https://films1.blob.core.windows.net");
        for (endpoint, expected) in [
            ("https://films1.blob.core.chinacloudapi.cn", "https://films1.blob.core.chinacloudapi.cn"),
            ("https://media.example.com/", "https://media.example.com"),
            ("http://127.0.0.1:10000", "http://127.0.0.1:10000/films1"),
            ("http://[::1]:10000", "http://[::1]:10000/films1"),
            ("http://azurite:10000", "http://azurite:10000/films1"),
        ] {
            assert_eq!(url(&format!(r#", "endpoint": "{endpoint}""#)), expected);
        }
        let told = r#"{"vendor": "AzureBlobStorage", "account": "films1", "endpoint": "http://127.0.0.1:1"}"#;
        let told = Target::Bucket(target(Vendor::Aws, "eu-west-1", "films", told)).store();
        assert_eq!(told, r#"bucket "films" at http://127.0.0.1:1/films1"#, "the account is named");
    }

    #[test]
    fn a_journal_keeps_that_nothing_is_put_twice() {
        let once = target(Vendor::Aws, "eu-west-1", "films", r#"{"livePlaylist": false}"#);
        let text = serde_json::to_string(&Target::Bucket(once)).unwrap();
        let read: Target = serde_json::from_str(&text).unwrap();
        let location = r#"{"vendor": "AWS", "region": "eu-north-1", "bucket": "reels"}"#;
        let moved = read.moved(&serde_json::from_str(location).unwrap()).unwrap();
        assert!(read.is_write_once() && moved.is_write_once());
        for usual in ["{}", r#"{"livePlaylist": true}"#] {
            let usual = Target::Bucket(target(Vendor::Aws, "eu-west-1", "films", usual));
            assert!(!usual.is_write_once() && !serde_json::to_string(&usual).unwrap().contains("writeOnce"));
        }
    }

    #[test]
    fn a_bucket_of_another_account_is_another_one() {
        let of = |account: &str| {
            let fields = r#""vendor": "AzureBlobStorage", "endpoint": "http://127.0.0.1:1""#;
            target(Vendor::Aws, "x", "films", &format!(r#"{{{fields}, "account": "{account}"}}"#))
        };
        assert!(of("films1").is_at(&of("films1")) && !of("films1").is_at(&of("films2")));
        let location = r#"{"vendor": "AzureBlobStorage", "bucket": "reels", "account": "films2"}"#;
        let moved = of("films1").moved(&config::BucketLocation::parse(location).unwrap());
        assert_eq!((moved.url().as_str(), moved.bucket.as_str()), ("https://films2.blob.core.windows.net", "reels"));
    }

    #[test]
    fn a_location_is_endpoint_bucket_and_prefix() {
        let at = |bucket: &str, storage: &str| target(Vendor::Aws, "eu-west-1", bucket, storage);
        let films = at("films", r#"{"endpoint": "http://s3.test:1", "prefix": "a"}"#);
        assert_eq!(Target::Bucket(films.clone()).location(), r#"bucket "films" at http://s3.test:1, prefix "a""#);
        assert_eq!(
            Target::Bucket(at("films", "{}")).location(),
            r#"bucket "films" at https://s3.eu-west-1.amazonaws.com"#
        );
        let same =
            r#"{"endpoint": "http://S3.test:1/", "prefix": "a", "pathStyle": false, "region": "x", "caFile": "/c"}"#;
        assert!(films.is_at(&at("films", same)));
        let elsewhere = [
            ("other", r#"{"endpoint": "http://s3.test:1", "prefix": "a"}"#),
            ("films", r#"{"endpoint": "http://s3.test:2", "prefix": "a"}"#),
            ("films", r#"{"endpoint": "http://s3.test:1", "prefix": "b"}"#),
            ("films", r#"{"endpoint": "http://s3.test:1"}"#),
            ("films", "{}"),
        ];
        for (bucket, storage) in elsewhere {
            assert!(!films.is_at(&at(bucket, storage)), "{bucket} {storage}");
        }
    }

    #[test]
    fn a_move_keeps_all_but_the_location() {
        let first = target(Vendor::Aws, "eu-west-1", "films", r#"{"prefix": "a", "objects": {"tags": {"team": "x"}}}"#);
        let location =
            config::BucketLocation::parse(r#"{"bucket": "reels", "endpoint": "http://127.0.0.1:7071"}"#).unwrap();
        let moved = first.moved(&location);
        assert_eq!((moved.url().as_str(), moved.bucket.as_str()), ("http://127.0.0.1:7071", "reels"));
        assert_eq!((moved.prefix.as_deref(), moved.region.as_str()), (Some("a"), "us-east-1"));
        assert_eq!(moved.objects, first.objects);
        assert!(!moved.is_at(&first) && moved.is_at(&moved.clone()));
        let nowhere = config::BucketLocation::parse(r#"{"bucket": "reels"}"#).unwrap_err();
        assert!(nowhere.message.starts_with("endpoint: is required"), "{}", nowhere.message);
    }

    #[test]
    fn a_server_of_the_users_own_has_the_bucket_in_its_path() {
        let own =
            target(Vendor::Aws, "eu-west-1", "films", r#"{"endpoint": "http://127.0.0.1:7070/", "prefix": "a/b"}"#);
        assert_eq!(own.url(), "http://127.0.0.1:7070");
        assert_eq!(own.region, "us-east-1");
        assert_eq!(own.key("x.ts"), "a/b/x.ts");
        let hosted = target(
            Vendor::Aws,
            "0",
            "films",
            r#"{"endpoint": "http://s3.test:80", "pathStyle": false, "region": "x"}"#,
        );
        assert_eq!((hosted.url().as_str(), hosted.region.as_str()), ("http://films.s3.test:80", "x"));
    }
}
