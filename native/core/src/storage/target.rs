// SPDX-License-Identifier: Apache-2.0
//! Where a recording's files go: everything about the bucket but its keys, so that it may be written down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::storage::vendor::Vendor;

/// What requests to a server of the user's own are signed with, where the configuration names no region.
const REGION_OF_OTHER_SERVERS: &str = "us-east-1";
/// A server of the user's own has an endpoint; what any vendor's name would add to that is nothing.
const VENDOR_OF_OTHER_SERVERS: Vendor = Vendor::Aws;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub path_style: bool,
    pub prefix: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub encryption: Option<config::Encryption>,
    pub tags: BTreeMap<String, String>,
    pub storage_class: Option<String>,
}

impl Target {
    /// The bucket that vendor and region name, or that answers at the configured endpoint.
    #[must_use]
    pub fn new(vendor: Vendor, region: &str, bucket: &str, storage: &config::Storage) -> Self {
        let reached = vendor.endpoint(storage.region.as_deref().unwrap_or(region));
        let (endpoint, region) = match &storage.endpoint {
            // The vendor's region says nothing about a server of the user's own.
            Some(endpoint) => (
                endpoint.trim_end_matches('/').to_owned(),
                storage.region.clone().unwrap_or_else(|| REGION_OF_OTHER_SERVERS.to_owned()),
            ),
            None => (reached.endpoint, reached.region),
        };
        Self {
            // A certificate for *.endpoint does not cover a bucket with a dot in its name.
            path_style: storage.path_style.unwrap_or(storage.endpoint.is_some() || bucket.contains('.')),
            endpoint,
            region,
            bucket: bucket.to_owned(),
            prefix: storage.prefix.clone(),
            ca_file: storage.ca_file.clone(),
            encryption: storage.encryption.clone(),
            tags: storage.tags.clone(),
            storage_class: storage.storage_class.clone(),
        }
    }

    /// The backup store of the configuration.
    #[must_use]
    pub fn of_backup(backup: &config::BackupSettings) -> Self {
        let region = backup.storage.region.as_deref().unwrap_or(REGION_OF_OTHER_SERVERS);
        Self::new(backup.vendor.unwrap_or(VENDOR_OF_OTHER_SERVERS), region, &backup.bucket, &backup.storage)
    }

    /// The same files at another location.
    #[must_use]
    pub fn moved(&self, location: &config::BucketLocation) -> Self {
        let region = location.region.as_deref().unwrap_or(REGION_OF_OTHER_SERVERS);
        let reached = config::Storage {
            endpoint: location.endpoint.clone(),
            region: location.region.clone(),
            path_style: location.path_style,
            ..config::Storage::default()
        };
        let Self { endpoint, region, bucket, path_style, .. } =
            Self::new(location.vendor.unwrap_or(VENDOR_OF_OTHER_SERVERS), region, &location.bucket, &reached);
        Self { endpoint, region, bucket, path_style, ..self.clone() }
    }

    /// Whether files of this name are the same objects, however requests are addressed and signed.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        let address =
            |target: &Self| (target.endpoint.to_ascii_lowercase(), target.bucket.clone(), target.prefix.clone());
        address(self) == address(other)
    }

    /// The location in words.
    #[must_use]
    pub fn location(&self) -> String {
        let prefix = self.prefix.as_ref().map_or(String::new(), |prefix| format!(", prefix {prefix:?}"));
        format!("bucket {:?} at {}{prefix}", self.bucket, self.endpoint)
    }

    /// The object's key for the file of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_owned(),
        }
    }

    /// What requests go to: the endpoint, with the bucket in its host or path.
    #[must_use]
    pub fn url(&self) -> String {
        match (self.path_style, self.endpoint.split_once("://")) {
            (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", self.bucket),
            _ => self.endpoint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(vendor: Vendor, region: &str, bucket: &str, storage: &str) -> Target {
        Target::new(vendor, region, bucket, &serde_json::from_str(storage).unwrap())
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
        let url =
            |fields: &str| Target::of_backup(&serde_json::from_str(&format!("{{{keys}, {fields}}}")).unwrap()).url();
        assert_eq!(url(r#""vendor": "Aliyun", "region": "hangzhou""#), "https://spare.s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(url(r#""vendor": "AWS", "region": "eu-west-1""#), "https://spare.s3.eu-west-1.amazonaws.com");
        assert_eq!(url(r#""endpoint": "http://127.0.0.1:7071""#), "http://127.0.0.1:7071");
    }

    #[test]
    fn a_location_is_endpoint_bucket_and_prefix() {
        let at = |bucket: &str, storage: &str| target(Vendor::Aws, "eu-west-1", bucket, storage);
        let films = at("films", r#"{"endpoint": "http://s3.test:1", "prefix": "a"}"#);
        assert_eq!(films.location(), r#"bucket "films" at http://s3.test:1, prefix "a""#);
        assert_eq!(at("films", "{}").location(), r#"bucket "films" at https://s3.eu-west-1.amazonaws.com"#);
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
        let first = target(Vendor::Aws, "eu-west-1", "films", r#"{"prefix": "a", "tags": {"team": "x"}}"#);
        let location =
            config::BucketLocation::parse(r#"{"bucket": "reels", "endpoint": "http://127.0.0.1:7071"}"#).unwrap();
        let moved = first.moved(&location);
        assert_eq!((moved.url().as_str(), moved.bucket.as_str()), ("http://127.0.0.1:7071", "reels"));
        assert_eq!((moved.prefix.as_deref(), moved.region.as_str()), (Some("a"), "us-east-1"));
        assert_eq!(moved.tags, first.tags);
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
