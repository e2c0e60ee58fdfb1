// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::storage::vendor::Vendor;

const GOOD: &str = r#"{"channels": [{"streams": [{"uid": 1, "url": "rtmp://127.0.0.1/live/a"}]}]}"#;

#[test]
fn a_short_document_has_its_defaults() {
    let document = Document::parse(GOOD).unwrap();
    assert_eq!((document.slice(), document.reconnect()), (Duration::from_secs(15), Duration::from_secs(60)));
    assert_eq!(document.channels[0].streams[0].silence_seconds, 30);
    assert_eq!(document.protocols.len(), PROTOCOLS.len());
    assert!(!document.allow_link_local);
    assert_eq!(document.channel("any at all").unwrap().0, 0);
}

#[test]
fn a_full_document_is_taken() {
    let document = Document::parse(
        r#"{"recordingId": "0123456789abcdef0123456789abcdef", "filePrefix": "bak0_", "workDir": "/var/lib/x",
            "workBytes": 1000000, "workVolume": "NodeDisk", "nodeDiskFreePercent": 5, "sliceSeconds": 10, "maxWaitSeconds": 3600, "fit": "Contain", "outputs": ["HLS", "MP4"], "protocols": ["rtmp"], "allowLinkLocal": true,
            "storage": {"endpoint": "https://s3.example.com:9000", "region": "eu-west-1", "pathStyle": true,
              "prefix": "a/b", "caFile": "/ca.pem", "objects": {"metadata": {"team": "x"}, "tags": {"team": "x y"},
                "cacheControl": "public, max-age=60", "storageClass": "STANDARD_IA",
                "serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": "k"}},
              "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}},
            "backup": {"vendor": "Aliyun", "region": "hangzhou", "bucket": "spare", "afterSeconds": 0,
              "prefix": "late", "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}},
            "channels": [{"name": "room", "streams": [{"uid": 1, "urlFile": "/u", "name": "alice"}]},
              {"streams": [{"uid": 2, "url": "srt://127.0.0.1:1"}]}]}"#,
    )
    .unwrap();
    assert_eq!(document.channel("room").unwrap().0, 0);
    assert_eq!(document.channel("other").unwrap().0, 1);
    let backup = document.backup.unwrap();
    assert_eq!((backup.vendor.vendor, backup.after()), (Some(Vendor::Aliyun), Duration::ZERO));
}

fn each_is_wrong(table: impl IntoIterator<Item = (String, &'static str)>) {
    for (text, expected) in table {
        let error = Document::parse(&text).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter);
        assert!(error.message.starts_with(expected), "{text}: {}", error.message);
    }
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let stream = |stream: &str| format!(r#"{{"channels": [{{"streams": [{stream}]}}]}}"#);
    let passthrough =
        |value: &str| format!(r#"{{"channels": [{{"passthrough": {value}, "streams": [{{"uid": 1, "url": "a"}}]}}]}}"#);
    each_is_wrong([
        (r#"{"colour": 1}"#.into(), "colour: unknown field `colour`"),
        (stream(r#"{"uid": 1, "url": "a", "pass": "b"}"#), "channels[0].streams[0].pass: unknown field `pass`"),
        (stream(r#"{"uid": "one", "url": "a"}"#), "channels[0].streams[0].uid: must be u32"),
        (stream(r#"{"uid": -1, "url": "a"}"#), "channels[0].streams[0].uid: must be u32"),
        (stream(r#"{"url": "a"}"#), "channels[0].streams[0]: missing field `uid`"),
        (stream(r#"{"uid": 0, "url": "a"}"#), "channels[0].streams[0].uid: must be from 1"),
        (stream(r#"{"uid": 1}"#), "channels[0].streams[0]: must have either url or urlFile"),
        (stream(r#"{"uid": 1, "url": "a", "urlFile": "b"}"#), "channels[0].streams[0]: must have either"),
        (stream(r#"{"uid": 1, "url": "a"}, {"uid": 1, "url": "b"}"#), "channels[0].streams[1].uid: another"),
        (stream(""), "channels[0].streams: must be from 1 to 17"),
        (stream(&[r#"{"uid": 1, "url": "a"}"#; 18].join(",")), "channels[0].streams: must be from 1 to 17"),
        (passthrough(r#"{"bound": 20}"#), "channels[0].passthrough.bound: unknown field"),
        (passthrough("true"), "channels[0].passthrough: must be struct Passthrough"),
        (passthrough(r#"{"longestSliceSeconds": 15}"#), "channels[0].passthrough.longestSliceSeconds: must be from 16"),
        (passthrough(r#"{"longestSliceSeconds": 121}"#), "channels[0].passthrough.longestSliceSeconds: must be"),
        (
            r#"{"channels": [{"passthrough": {}, "streams": [{"uid": 1, "url": "a"}, {"uid": 2, "url": "b"}]}]}"#
                .into(),
            "channels[0].passthrough: only a single stream",
        ),
        (r#"{"recordingId": "0123"}"#.into(), "recordingId: must be 32"),
        (r#"{"filePrefix": "a/b"}"#.into(), "filePrefix: must be"),
        (r#"{"workVolume": "Tape"}"#.into(), "workVolume: must be"),
        (r#"{"nodeDiskFreePercent": 91}"#.into(), "nodeDiskFreePercent: must be from 0 to 90"),
        (r#"{"sliceSeconds": 1}"#.into(), "sliceSeconds: must be from 2 to 60"),
        (r#"{"reconnectSeconds": 0}"#.into(), "reconnectSeconds: must be from 1 to 3600"),
        (
            stream(r#"{"uid": 1, "url": "a", "silenceSeconds": 2}"#),
            "channels[0].streams[0].silenceSeconds: must be from 3 to 600",
        ),
        (r#"{"maxWaitSeconds": 0}"#.into(), "maxWaitSeconds: must be from 1 to 2592000"),
        (r#"{"allowedHosts": ["*", "a b"]}"#.into(), "allowedHosts[1]: must be a host"),
        (r#"{"fit": "Stretch"}"#.into(), "fit: must be `Crop` or `Contain`"),
        (r#"{"outputs": ["MP4"]}"#.into(), "outputs: must have \"HLS\""),
        (r#"{"outputs": ["HLS", "AVI"]}"#.into(), "outputs[1]: must be `HLS` or `MP4`"),
        (r#"{"protocols": ["rtmp", "gopher"]}"#.into(), "protocols[1]: must be one of"),
        (
            r#"{"channels": [{"name": "a", "streams": [{"uid": 1, "url": "a"}]},
            {"name": "a", "streams": [{"uid": 1, "url": "a"}]}]}"#
                .into(),
            "channels[1].name: another",
        ),
        (r#"{"finalUploadSeconds": 0}"#.into(), "finalUploadSeconds: must be from 1 to"),
        (r#"{"log": {"to": "hunter2"}}"#.into(), "log.to: "),
        ("{".into(), "EOF while parsing an object"),
        (format!("{GOOD} x"), "there is something after the end"),
    ]);
}

#[test]
fn what_is_wrong_of_a_store_is_named_by_its_path() {
    let backup = |fields: &str| {
        let bucket = if fields.is_empty() { r#""bucket": "", "endpoint": "http://h""# } else { fields };
        format!(r#"{{"backup": {{"credentialFiles": {{"accessKey": "/a", "secretKey": "/s"}}, {bucket}}}}}"#)
    };
    let google = |field: &str| format!(r#"{{"storage": {{"vendor": "GoogleCloudStorage", {field}}}}}"#);
    each_is_wrong([
        (r#"{"storage": {"bukkit": "b"}}"#.into(), "storage.bukkit: unknown field `bukkit`"),
        (r#"{"storage": {"bucket": "b"}}"#.into(), "storage.bucket: is a field of backup alone"),
        (r#"{"storage": {"vendor": "AWS"}}"#.into(), "storage.vendor: is a field of backup alone"),
        (r#"{"storage": {"vendor": "S3"}}"#.into(), "storage.vendor: is a field of backup alone"),
        (r#"{"storage": {"afterSeconds": 1}}"#.into(), "storage.afterSeconds: is a field of backup alone"),
        (
            r#"{"backup": {"credentialFiles": {"accessKey": "/a", "secretKey": "/s"}}}"#.into(),
            "backup: missing field `bucket`",
        ),
        (r#"{"backup": {"endpoint": 5}}"#.into(), "backup.endpoint: must be a string"),
        (r#"{"storage": {"endpoint": "s3.example.com"}}"#.into(), "storage.endpoint: must be"),
        (r#"{"storage": {"endpoint": "http://u:p@s3"}}"#.into(), "storage.endpoint: must be"),
        (r#"{"storage": {"endpoint": "http://"}}"#.into(), "storage.endpoint: must be"),
        (r#"{"storage": {"endpoint": "http://s 3"}}"#.into(), "storage.endpoint: must be"),
        (r#"{"storage": {"endpoint": "http://s\u007f3"}}"#.into(), "storage.endpoint: must be"),
        (r#"{"storage": {"region": "eu west"}}"#.into(), "storage.region: must be a name of"),
        (r#"{"storage": {"prefix": "/a"}}"#.into(), "storage.prefix: must be"),
        (r#"{"storage": {"prefix": "a/../b"}}"#.into(), "storage.prefix: must be"),
        (r#"{"storage": {"directory": "films"}}"#.into(), "storage.directory: must be an absolute path"),
        (r#"{"storage": {"directory": "/d", "prefix": "a/../b"}}"#.into(), "storage.prefix: must be"),
        (
            r#"{"storage": {"directory": "/d", "objects": {"tags": {"a": "b"}}}}"#.into(),
            "storage.objects: a directory has none",
        ),
        (
            r#"{"storage": {"directory": "/d", "livePlaylist": false}}"#.into(),
            "storage.livePlaylist: a directory has none",
        ),
        (
            r#"{"storage": {"directory": "/d", "endpoint": "http://s3"}}"#.into(),
            "storage.endpoint: a directory has none; leave it out",
        ),
        (r#"{"backup": {"directory": "/d", "bucket": "b"}}"#.into(), "backup.bucket: a directory has none"),
        (r#"{"backup": {"directory": "/d", "region": "x"}}"#.into(), "backup.region: a directory has none"),
        (r#"{"backup": {"directory": "/d", "vendor": "S3"}}"#.into(), "backup: vendor: a directory has none"),
        (backup(r#""directory": "/d""#), "backup.credentialFiles: a directory has none"),
        (backup(""), "backup.bucket: is required"),
        (backup(r#""bucket": "b""#), "backup.endpoint: is required"),
        (backup(r#""bucket": "b", "vendor": "AWS""#), "backup.region: is required"),
        (backup(r#""bucket": "b", "vendor": "Ftp""#), "backup.vendor: must be one of"),
        (backup(r#""bucket": "b", "endpoint": "host""#), "backup.endpoint: must be"),
        (backup(r#""bucket": "a b", "endpoint": "http://h""#), "backup.bucket: must be a name of"),
        (backup(r#""bucket": "b", "endpoint": "http://h", "prefix": "/""#), "backup.prefix: must be"),
        (backup(r#""bucket": "b", "endpoint": "http://h", "afterSeconds": 86401"#), "backup.afterSeconds: must be"),
        (backup(r#""bucket": "b", "colour": 1"#), "backup.colour: unknown field"),
        (r#"{"backup": {"bucket": "b"}}"#.into(), "backup: missing field `credentialFiles` or `identity`"),
        (r#"{"storage": {"identity": "Pod"}}"#.into(), "storage.identity: must be `Environment` or `Instance`"),
        (
            r#"{"storage": {"directory": "/d", "identity": "Instance"}}"#.into(),
            "storage.identity: a directory has none",
        ),
        (backup(r#""bucket": "b", "identity": "Instance""#), "backup: identity: is instead of credentialFiles"),
        (
            r#"{"storage": {"identity": "Instance", "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}}}"#
                .into(),
            "storage.identity: is instead of credentialFiles; leave one of them out",
        ),
        (
            r#"{"backup": {"bucket": "b", "vendor": "Aliyun", "region": "beijing", "identity": "Environment"}}"#.into(),
            "backup.identity: Alibaba OSS has none; name credentialFiles",
        ),
        (google(r#""region": "x""#), "storage.region: vendor GoogleCloudStorage has none"),
        (google(r#""pathStyle": true"#), "storage.pathStyle: vendor GoogleCloudStorage has none"),
        (google(r#""directory": "/d""#), "storage.vendor: a directory has none"),
        (
            r#"{"storage": {"vendor": "GoogleCloudStorage", "credentialFiles": {"accessKey": "/a", "secretKey": "/s"}}}"#
                .into(),
            "storage.credentialFiles: must have serviceAccountKey of vendor GoogleCloudStorage",
        ),
        (
            r#"{"storage": {"credentialFiles": {"serviceAccountKey": "/k"}}}"#.into(),
            "storage.credentialFiles: must have accessKey and secretKey of vendor S3",
        ),
        (
            r#"{"storage": {"credentialFiles": {"accessKey": "/a", "serviceAccountKey": "/k"}}}"#.into(),
            "storage.credentialFiles: serviceAccountKey must be alone",
        ),
        (backup(r#""bucket": "b", "vendor": "GoogleCloudStorage""#), "backup.credentialFiles: must have serviceAccount"),
        (
            r#"{"place": {"vendor": "GoogleCloudStorage", "bucket": "b", "region": "x"}}"#.into(),
            "place.region: vendor GoogleCloudStorage has none",
        ),
    ]);
}

#[test]
fn who_acts_as_a_google_service_account_is_the_pod_of_a_bucket_of_googles() {
    let google = |field: &str| format!(r#"{{"storage": {{"vendor": "GoogleCloudStorage", {field}}}}}"#);
    each_is_wrong([
        (
            google(r#""identity": "Instance", "googleServiceAccount": "a@p.iam.gserviceaccount.com""#),
            "storage.googleServiceAccount: is of identity Environment alone; leave it out",
        ),
        (
            google(r#""identity": "Environment", "googleServiceAccount": "films@example.com""#),
            "storage.googleServiceAccount: must be the e-mail address of a Google service account",
        ),
        (
            r#"{"storage": {"identity": "Environment", "googleServiceAccount": "a@p.iam.gserviceaccount.com"}}"#.into(),
            "storage.googleServiceAccount: vendor S3 has none; leave it out",
        ),
        (
            r#"{"storage": {"directory": "/d", "googleServiceAccount": "a@p.iam.gserviceaccount.com"}}"#.into(),
            "storage.googleServiceAccount: a directory has none",
        ),
    ]);
}

#[test]
fn what_is_wrong_of_a_container_of_azures_is_named_by_its_path() {
    let azure = |field: &str| format!(r#"{{"storage": {{"vendor": "AzureBlobStorage", {field}}}}}"#);
    let google = |field: &str| format!(r#"{{"storage": {{"vendor": "GoogleCloudStorage", {field}}}}}"#);
    let backup = |fields: &str| {
        format!(r#"{{"backup": {{"credentialFiles": {{"accessKey": "/a", "secretKey": "/s"}}, {fields}}}}}"#)
    };
    each_is_wrong([
        (google(r#""account": "films""#), "storage.account: vendor GoogleCloudStorage has none; leave it out"),
        (r#"{"storage": {"account": "films"}}"#.into(), "storage.account: vendor S3 has none; leave it out"),
        (r#"{"storage": {"directory": "/d", "account": "films"}}"#.into(), "storage.account: a directory has none"),
        (azure(r#""prefix": "a""#), "storage.account: is required of vendor AzureBlobStorage"),
        (azure(r#""account": "Films""#), "storage.account: must be 3 to 24 lower-case letters and digits"),
        (azure(r#""account": "fi""#), "storage.account: must be 3 to 24"),
        (azure(r#""account": "films", "region": "x""#), "storage.region: vendor AzureBlobStorage has none"),
        (azure(r#""account": "films", "pathStyle": true"#), "storage.pathStyle: vendor AzureBlobStorage has none"),
        (
            azure(r#""account": "films", "identity": "Instance""#),
            "storage.identity Instance: vendor AzureBlobStorage has none",
        ),
        (
            azure(r#""account": "films", "objects": {"metadata": {"cost-center": "1"}}"#),
            "storage.objects.metadata: must have names of lower-case letters, digits and '_', no digit first",
        ),
        (
            azure(r#""account": "films", "objects": {"serverSideEncryption": {"mode": "SSE-S3"}}"#),
            "storage.objects.serverSideEncryption: vendor AzureBlobStorage has none",
        ),
        (
            azure(r#""account": "films", "credentialFiles": {"serviceAccountKey": "/k"}"#),
            "storage.credentialFiles: must have accountKey or sasToken of vendor AzureBlobStorage",
        ),
        (
            azure(r#""account": "films", "credentialFiles": {"accountKey": "/k", "sasToken": "/s"}"#),
            "storage.credentialFiles: accountKey must be alone",
        ),
        (
            azure(r#""account": "films", "credentialFiles": {"sasToken": "/s", "secretKey": "/k"}"#),
            "storage.credentialFiles: sasToken must be alone",
        ),
        (
            r#"{"storage": {"credentialFiles": {"accountKey": "/k"}}}"#.into(),
            "storage.credentialFiles: must have accessKey and secretKey of vendor S3",
        ),
        (
            backup(r#""bucket": "b", "vendor": "AzureBlobStorage", "account": "films""#),
            "backup.credentialFiles: must have accountKey",
        ),
        (r#"{"place": {"vendor": "AzureBlobStorage", "bucket": "b"}}"#.into(), "place.account: is required"),
        (
            r#"{"place": {"bucket": "b", "endpoint": "http://h", "account": "films"}}"#.into(),
            "place.account: vendor S3 has none",
        ),
    ]);
}

#[test]
fn what_is_wrong_of_objects_is_named_by_its_path() {
    let objects = |objects: &str| format!(r#"{{"storage": {{"objects": {{{objects}}}}}}}"#);
    let google =
        |objects: &str| format!(r#"{{"storage": {{"vendor": "GoogleCloudStorage", "objects": {{{objects}}}}}}}"#);
    let backup = |vendor: &str, objects: &str| {
        format!(
            r#"{{"backup": {{"bucket": "b", "vendor": "{vendor}", "region": "x", "objects": {{{objects}}},
                "credentialFiles": {{"accessKey": "/a", "secretKey": "/s"}}}}}}"#
        )
    };
    let (tags, class) = (r#""tags": {"a": "b"}"#, r#""storageClass": "IA""#);
    let encryption = r#""serverSideEncryption": {"mode": "SSE-S3"}"#;
    let many = |count: usize| (0..count).map(|n| format!(r#""{n}": "x""#)).collect::<Vec<_>>().join(",");
    let long = |count: usize| "x".repeat(count);
    each_is_wrong([
        (objects(r#""acl": "private""#), "storage.objects.acl: unknown field"),
        (objects(&format!(r#""metadata": {{{}}}"#, many(33))), "storage.objects.metadata: must have at most 32"),
        (objects(r#""metadata": {"Team": "x"}"#), "storage.objects.metadata: must have names of"),
        (objects(r#""metadata": {"": "x"}"#), "storage.objects.metadata: must have names of"),
        (objects(r#""metadata": {"a:b": "x"}"#), "storage.objects.metadata: must have names of"),
        (objects(r#""metadata": {"a": "\u4f1a"}"#), "storage.objects.metadata: must have values of"),
        (objects(r#""metadata": {"a": "x "}"#), "storage.objects.metadata: must have values of"),
        (objects(r#""metadata": {"a": ""}"#), "storage.objects.metadata: must have values of"),
        (
            objects(&format!(r#""metadata": {{"a": "{}", "b": "{}"}}"#, long(1023), long(1024))),
            "storage.objects.metadata: must be at most 2048 bytes",
        ),
        (objects(&format!(r#""tags": {{{}}}"#, many(11))), "storage.objects.tags: must be at most 10"),
        (objects(r#""tags": {"AWS:a": "x"}"#), "storage.objects.tags: must not have keys that begin with 'aws:'"),
        (objects(r#""tags": {"": "x"}"#), "storage.objects.tags: must have keys of 1 to 128"),
        (objects(r#""tags": {"a&b": "x"}"#), "storage.objects.tags: must have keys of 1 to 128"),
        (objects(&format!(r#""tags": {{"a": "{}"}}"#, long(257))), "storage.objects.tags: must have values of at most"),
        (objects(r#""tags": {"a": "x;y"}"#), "storage.objects.tags: must have values of at most"),
        (objects(r#""cacheControl": "a\nb""#), "storage.objects.cacheControl: must be 1 to 256 characters"),
        (objects(r#""storageClass": "COLD\n""#), "storage.objects.storageClass: must be 1 to 64 characters"),
        (
            objects(r#""serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": "k\u0000"}"#),
            "storage.objects.serverSideEncryption.kmsKeyId: must be 1 to 512",
        ),
        (objects(r#""serverSideEncryption": {"mode": "SSE-C"}"#), "storage.objects.serverSideEncryption"),
        (
            objects(r#""serverSideEncryption": {"mode": "SSE-S3", "kmsKeyId": "k"}"#),
            "storage.objects.serverSideEncryption",
        ),
        (objects(r#""kmsKeyName": "k""#), "storage.objects.kmsKeyName: vendor S3 has none; leave it out"),
        (google(tags), "storage.objects.tags: vendor GoogleCloudStorage has none; leave it out"),
        (google(encryption), "storage.objects.serverSideEncryption: vendor GoogleCloudStorage has none"),
        (backup("Aliyun", tags), "backup.objects.tags: Alibaba OSS takes none by its S3 API; leave it out"),
        (backup("Aliyun", class), "backup.objects.storageClass: Alibaba OSS takes none"),
        (backup("Aliyun", encryption), "backup.objects.serverSideEncryption: Alibaba OSS takes none"),
        (backup("Qiniu", tags), "backup.objects.tags: Qiniu takes none"),
        (backup("Qiniu", encryption), "backup.objects.serverSideEncryption: Qiniu takes none"),
    ]);
    let all = r#""metadata": {"a": "b"}, "cacheControl": "no-store", "storageClass": "COLDLINE""#;
    let key = r#""kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k""#;
    for good in [
        google(&format!("{all}, {key}")),
        backup("AWS", &format!("{all}, {tags}, {encryption}")),
        backup("Qiniu", all),
        backup("Aliyun", r#""metadata": {"a": "b"}, "cacheControl": "no-store""#),
    ] {
        Document::parse(&good).unwrap();
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut text = GOOD.as_bytes().to_vec();
        for _ in 0..random.random_range(1..8) {
            let place = random.random_range(0..text.len());
            match random.random_range(0..3) {
                0 => text[place] = random.random(),
                1 => drop(text.remove(place)),
                _ => text.insert(place, random.random()),
            }
        }
        let _ = Document::parse(&String::from_utf8_lossy(&text));
    }
}

#[test]
fn messages_never_repeat_a_value() {
    for text in [
        r#"{"channels": [{"streams": [{"uid": "hunter2", "url": "a"}]}]}"#,
        r#"{"storage": {"endpoint": "http://user:hunter2@host"}}"#,
        r#"{"storage": {"credentialFiles": "hunter2"}}"#,
        r#"{"storage": {"objects": {"serverSideEncryption": {"mode": "hunter2"}}}}"#,
        r#"{"storage": {"objects": {"metadata": {"Hunter2": "hunter2\n"}}}}"#,
        r#"{"channels": [{"streams": [{"rtmp://user:hunter2@host"}]}]}"#,
        r#"{"channels": [{"streams": [{"rtmp://user:hunter2@host": 1}]}]}"#,
    ] {
        let message = Document::parse(text).unwrap_err().message;
        assert!(!message.contains("hunter2"), "{message}");
    }
}
