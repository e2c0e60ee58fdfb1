// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::capture::api::Layout;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn document() -> Document {
    Document::parse(
        r#"{"workDir": "/w", "channels": [{"name": "room", "streams": [
            {"uid": 1, "url": "rtmp://127.0.0.1/live/a", "name": "alice"}, {"uid": 2, "url": "srt://127.0.0.1:9"}]}]}"#,
    )
    .unwrap()
}

pub(crate) fn request() -> Request<'static> {
    Request {
        app_id: Some("app"),
        channel_name: Some("room"),
        token: None,
        uid: 4_294_967_295,
        stream_types: 2,
        decryption_mode: 0,
        secret: None,
        channel_type: 0,
        audio_profile: 0,
        video_stream_type: 0,
        max_idle_time: 30,
        width: 360,
        height: 640,
        fps: 15,
        bitrate: 500,
        max_resolution_uid: 0,
        layout: 1,
        vendor: 1,
        region: 0,
        bucket: Some("films"),
        access_key: Some("key"),
        secret_key: Some("hunter2"),
    }
}

#[test]
fn a_good_request_becomes_a_plan() {
    for (asked, seconds) in [(0, 30), (1, 1), (4, 4), (30, 30), (u32::MAX, u32::MAX)] {
        let plan = Plan::new(ID, &document(), &Request { max_idle_time: asked, ..request() }).unwrap();
        let idle = Duration::from_secs(u64::from(seconds));
        let timeouts =
            Timeouts { first: idle, idle, reconnect: Duration::from_secs(60), stores: Some(Duration::from_secs(300)) };
        assert_eq!(plan.timeouts, timeouts);
    }
    let plan = Plan::new(ID, &document(), &request()).unwrap();
    assert_eq!(plan.directory, Path::new("/w").join(ID));
    assert_eq!(plan.begun.stem, format!("{ID}_room"));
    assert_eq!(plan.begun.target.location(), r#"bucket "films" at https://s3.us-east-1.amazonaws.com"#);
    assert_eq!(plan.begun.participants[0].name.as_deref(), Some("alice"));
    assert_eq!(plan.capture.layout, Layout::BestFit);
    assert_eq!(plan.capture.file_stem, plan.begun.stem);
    assert!(!format!("{plan:?}").contains("hunter2"));
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn every_precondition_is_checked_and_named() {
    let good = request();
    let table = [
        (Request { app_id: None, ..good }, "appId"),
        (Request { app_id: Some(""), ..good }, "appId"),
        (Request { channel_name: None, ..good }, "channel_name"),
        (Request { channel_name: Some(""), ..good }, "channel_name"),
        (Request { channel_name: Some("hall"), ..good }, "channels: none is named \"hall\""),
        (Request { uid: 0, ..good }, "uid: must be from 1"),
        (Request { uid: 2, ..good }, "uid: a participant of the channel has it"),
        (Request { stream_types: 3, ..good }, "RecordingStreamType"),
        (Request { stream_types: -1, ..good }, "RecordingStreamType"),
        (Request { decryption_mode: 4, ..good }, "DecryptionMode"),
        (Request { decryption_mode: 1, ..good }, "secret"),
        (Request { decryption_mode: 3, secret: Some("hunter2"), ..good }, "decryption_mode"),
        (Request { channel_type: 2, ..good }, "ChannelType"),
        (Request { audio_profile: 3, ..good }, "AudioProfile"),
        (Request { video_stream_type: 2, ..good }, "VideoStreamType"),
        (Request { width: 0, ..good }, "transcoding_config.width"),
        (Request { width: 361, ..good }, "transcoding_config.width: must be even"),
        (Request { height: 14, ..good }, "transcoding_config.height"),
        (Request { width: 1920, height: 1082, ..good }, "transcoding_config.width, height: must be at most"),
        (Request { width: 1922, height: 1080, ..good }, "transcoding_config.width, height: must be at most"),
        (Request { width: u32::MAX - 1, ..good }, "transcoding_config.width, height: must be at most"),
        (Request { fps: 0, ..good }, "transcoding_config.fps"),
        (Request { fps: 61, ..good }, "transcoding_config.fps"),
        (Request { bitrate: 0, ..good }, "transcoding_config.bitrate"),
        (Request { bitrate: u32::MAX, ..good }, "transcoding_config.bitrate"),
        (Request { layout: 3, ..good }, "MixedVideoLayoutType"),
        (Request { vendor: 3, ..good }, "CloudStorageConfig.vendor"),
        (Request { region: 18, ..good }, "CloudStorageConfig.region: Amazon S3 has regions 0 to 17"),
        (Request { vendor: 0, region: 4, ..good }, "CloudStorageConfig.region: Qiniu has regions 0 to 3"),
        (Request { bucket: None, ..good }, "CloudStorageConfig.bucket"),
        (Request { bucket: Some("fil ms"), ..good }, "CloudStorageConfig.bucket: must be a name of"),
        (Request { bucket: Some("films\u{e9}"), ..good }, "CloudStorageConfig.bucket: must be a name of"),
        (Request { access_key: None, ..good }, "CloudStorageConfig.access_key"),
        (Request { access_key: Some("hunter2\n"), ..good }, "CloudStorageConfig.access_key: must be printable"),
        (Request { secret_key: Some(""), ..good }, "CloudStorageConfig.secret_key"),
    ];
    for (request, expected) in table {
        let error = Plan::new(ID, &document(), &request).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameter, "{expected}");
        assert!(error.message.starts_with(expected), "{expected}: {}", error.message);
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }
}

#[test]
fn a_bucket_of_googles_or_azures_is_the_documents_whatever_numbers_the_call_has() {
    let document = |storage: &str| {
        let streams = r#"[{"uid": 1, "url": "rtmp://127.0.0.1/live/a"}]"#;
        let text = format!(r#"{{"workDir": "/w", "storage": {storage}, "channels": [{{"streams": {streams}}}]}}"#);
        Document::parse(&text).unwrap()
    };
    let google = r#"{"vendor": "GoogleCloudStorage", "credentialFiles": {"serviceAccountKey": "/k"}}"#;
    let keyless = Request { vendor: 9, region: 99, access_key: None, secret_key: Some(""), ..request() };
    let plan = Plan::new(ID, &document(google), &keyless).unwrap();
    assert_eq!(plan.begun.target.location(), r#"bucket "films" at https://storage.googleapis.com"#);
    assert!(matches!(plan.credentials, Credentials::ServiceAccount(_)));
    let by_pod = r#"{"vendor": "GoogleCloudStorage", "identity": "Environment",
        "googleServiceAccount": "films@p.iam.gserviceaccount.com"}"#;
    let plan = Plan::new(ID, &document(by_pod), &keyless).unwrap();
    let acts_as = r#"Google(Pod { acts_as: Some("films@p.iam.gserviceaccount.com") })"#;
    assert_eq!(format!("{:?}", plan.credentials), acts_as);
    let azure = r#"{"vendor": "AzureBlobStorage", "account": "films1", "credentialFiles": {"sasToken": "/s"}}"#;
    let plan = Plan::new(ID, &document(azure), &keyless).unwrap();
    assert_eq!(plan.begun.target.location(), r#"bucket "films" at https://films1.blob.core.windows.net"#);
    assert!(matches!(plan.credentials, Credentials::Azure(_)));
    for (storage, request, expected) in [
        (google, request(), "CloudStorageConfig.access_key: must be empty where the document has storage.vendor"),
        (google, Request { bucket: None, ..keyless }, "CloudStorageConfig.bucket"),
        (r#"{"vendor": "GoogleCloudStorage"}"#, keyless, "storage.credentialFiles: is required"),
    ] {
        let error = Plan::new(ID, &document(storage), &request).unwrap_err();
        assert!(error.message.starts_with(expected), "{}", error.message);
    }
}

#[test]
fn passthrough_declares_its_bound_as_the_length_of_slices() {
    for (bound, seconds) in [("{}", 30), (r#"{"longestSliceSeconds": 20}"#, 20)] {
        let document = Document::parse(&format!(
            r#"{{"workDir": "/w", "channels": [{{"passthrough": {bound}, "streams": [{{"uid": 1, "url": "srt://127.0.0.1:9"}}]}}]}}"#
        ))
        .unwrap();
        let plan = Plan::new(ID, &document, &request()).unwrap();
        assert_eq!(plan.begun.slice_seconds, seconds);
        let longest_slice = Duration::from_secs(u64::from(seconds));
        assert_eq!(plan.capture.passthrough, Some(Passthrough { longest_slice }));
        assert_eq!(plan.capture.slice, Duration::from_secs(15));
    }
    assert_eq!(Plan::new(ID, &self::document(), &request()).unwrap().capture.passthrough, None);
}

#[test]
fn portrait_and_landscape_up_to_1080p_are_taken() {
    for (width, height) in [(1920, 1080), (1080, 1920), (16, 16), (1080, 1080)] {
        assert!(Plan::new(ID, &document(), &Request { width, height, ..request() }).is_ok());
    }
}

#[test]
fn a_directory_is_chosen_by_the_document_and_beside_it_the_call_names_no_bucket() {
    let text = r#"{"workDir": "/w", "storage": {"directory": "/films", "prefix": "a"},
        "channels": [{"streams": [{"uid": 1, "url": "srt://127.0.0.1:9"}]}]}"#;
    let document = Document::parse(text).unwrap();
    let none = Request { bucket: None, access_key: Some(""), secret_key: None, ..request() };
    assert_eq!(Plan::new(ID, &document, &none).unwrap().begun.target.location(), "directory /films/a");
    for (given, field) in [
        (Request { bucket: Some("films"), ..none }, "bucket"),
        (Request { access_key: Some("hunter2"), ..none }, "access_key"),
        (Request { secret_key: Some("hunter2"), ..none }, "secret_key"),
    ] {
        let message = Plan::new(ID, &document, &given).unwrap_err().message;
        assert_eq!(
            message,
            format!("CloudStorageConfig.{field}: must be empty where the document has storage.directory")
        );
    }
}

#[test]
fn what_a_vendor_does_not_take_with_an_object_is_refused_by_its_number() {
    let document = |objects: &str| {
        let streams = r#"[{"uid": 1, "url": "rtmp://h/live/a"}]"#;
        let text = format!(
            r#"{{"workDir": "/w", "storage": {{"objects": {objects}}}, "channels": [{{"streams": {streams}}}]}}"#
        );
        Document::parse(&text).unwrap()
    };
    let (tags, class) = (r#"{"tags": {"a": "b"}}"#, r#"{"storageClass": "COLD"}"#);
    for (vendor, objects, refused) in [
        (0, tags, Some("storage.objects.tags: Qiniu takes none by its S3 API; leave it out")),
        (0, class, None),
        (1, tags, None),
        (1, class, None),
        (2, tags, Some("storage.objects.tags: Alibaba OSS takes none by its S3 API; leave it out")),
        (2, class, Some("storage.objects.storageClass: Alibaba OSS takes none by its S3 API; leave it out")),
    ] {
        let plan = Plan::new(ID, &document(objects), &Request { vendor, ..request() });
        assert_eq!(plan.err().map(|error| error.message).as_deref(), refused, "{vendor} {objects}");
    }
}

#[test]
fn an_identity_is_chosen_by_the_document_and_beside_it_the_call_has_no_keys() {
    let text = r#"{"workDir": "/w", "storage": {"identity": "Environment"},
        "channels": [{"streams": [{"uid": 1, "url": "srt://127.0.0.1:9"}]}]}"#;
    let document = Document::parse(text).unwrap();
    let none = Request { access_key: Some(""), secret_key: None, ..request() };
    let plan = Plan::new(ID, &document, &none).unwrap();
    assert_eq!(format!("{:?}", plan.credentials), "Identity(Environment)");
    let refused = |request: Request| Plan::new(ID, &document, &request).unwrap_err().message;
    assert_eq!(
        refused(Request { access_key: Some("hunter2"), ..none }),
        "CloudStorageConfig.access_key: must be empty where the document has storage.identity"
    );
    assert_eq!(
        refused(Request { vendor: 2, ..none }),
        "storage.identity: Alibaba OSS has none; give access key and secret key"
    );
}

#[test]
fn a_backup_store_is_another_than_the_bucket() {
    let document = |backup: &str| {
        let keys = r#""credentialFiles": {"accessKey": "/a", "secretKey": "/s"}"#;
        let stream = r#"{"uid": 1, "url": "rtmp://127.0.0.1/live/a"}"#;
        let text = format!(
            r#"{{"workDir": "/w", "storage": {{"endpoint": "http://s3:1"}}, "channels": [{{"streams": [{stream}]}}],
            "backup": {{"endpoint": "http://s3:1", {keys}, {backup}}}}}"#
        );
        Document::parse(&text).unwrap()
    };
    for same in [r#""bucket": "films""#, r#""bucket": "films", "pathStyle": false"#] {
        let error = Plan::new(ID, &document(same), &request()).unwrap_err();
        assert!(error.message.starts_with("backup: is the storage itself"), "{}", error.message);
    }
    for other in [r#""bucket": "spare""#, r#""bucket": "films", "prefix": "late""#] {
        let plan = Plan::new(ID, &document(other), &request()).unwrap();
        assert!(plan.backup.is_some() && plan.begun.backup.is_some());
    }
}

#[test]
fn a_url_out_of_a_file_is_its_participants_loss_alone() {
    let scratch = crate::test_support::Scratch::new();
    let file = scratch.path().join("url");
    std::fs::write(&file, "ftp://media/hunter2").unwrap();
    let plan = |others: &str| {
        let file = file.display();
        let text = format!(
            r#"{{"workDir": "/w", "protocols": ["rtmp"], "channels": [{{"streams": [
                {{"uid": 1, "urlFile": "{file}"}}{others}]}}]}}"#
        );
        Plan::new(ID, &Document::parse(&text).unwrap(), &request())
    };
    assert_eq!(plan(r#", {"uid": 2, "url": "rtmp://127.0.0.1/live/b"}"#).unwrap().capture.sources.len(), 2);
    let error = plan("").unwrap_err();
    assert!(error.message.starts_with("channels[0].streams[0]: its URL must begin with"), "{}", error.message);
}

#[test]
fn urls_that_the_configuration_does_not_allow_are_refused_without_being_repeated() {
    for (url, protocols) in [("file:///etc/hunter2", r#"["rtmp"]"#), ("/etc/hunter2", r#"["file"]"#)] {
        let document = Document::parse(&format!(
            r#"{{"workDir": "/w", "protocols": {protocols}, "channels": [{{"streams": [{{"uid": 1, "url": "{url}"}}]}}]}}"#
        ))
        .unwrap();
        let error = Plan::new(ID, &document, &request()).unwrap_err();
        assert!(error.message.starts_with("channels[0].streams[0]: its URL must begin with"), "{}", error.message);
        assert!(!error.message.contains("hunter2"));
    }
}

#[test]
fn another_list_of_streams_is_taken_whole_or_refused_with_the_field() {
    let traits = RecordingTraits { passed_through: false, room: false, protocols: vec!["rtmp".to_owned()], uid: 9 };
    let good =
        r#"{"streams": [{"uid": 1, "url": "rtmp://127.0.0.1/live/a"}, {"uid": 2, "url": "RTMP://b", "name": "bob"}]}"#;
    let streams = other_streams(good, &traits).unwrap();
    assert_eq!(
        streams.iter().map(|stream| (stream.uid, stream.name.as_deref())).collect::<Vec<_>>(),
        [(1, None), (2, Some("bob"))]
    );
    let one = |stream: &str| format!(r#"{{"streams": [{stream}]}}"#);
    let many: Vec<String> = (10..28).map(|uid| format!(r#"{{"uid": {uid}, "url": "rtmp://a"}}"#)).collect();
    for (text, message) in [
        ("", "EOF"),
        (r#"[{"uid": 1, "url": "rtmp://a"}]"#, "must be a sequence"),
        (&one(""), "streams: must be from 1 to 17"),
        (&one(&many.join(",")), "streams: must be from 1 to 17"),
        (&one(r#"{"uid": 1, "url": "rtmp://a"}, {"uid": 1, "url": "rtmp://b"}"#), "streams[1].uid: another stream"),
        (&one(r#"{"uid": 9, "url": "rtmp://a"}"#), "streams[0].uid: is the recorder's own"),
        (&one(r#"{"uid": 1, "url": "http://a"}"#), "streams[0]: its URL must begin with one of rtmp"),
        (&one(r#"{"uid": 1, "urlFile": "/nowhere"}"#), "streams[0].urlFile: /nowhere"),
        (&one(r#"{"uid": 1, "url": "rtmp://a", "colour": 1}"#), "colour"),
    ] {
        let error = other_streams(text, &traits).unwrap_err();
        assert!(error.code == Code::InvalidParameter && error.message.contains(message), "{text}: {}", error.message);
    }
    let room = RecordingTraits { room: true, ..traits.clone() };
    for (traits, message) in
        [(RecordingTraits { passed_through: true, ..traits }, "keeps its stream"), (room, "a room")]
    {
        let error = other_streams(good, &traits).unwrap_err();
        assert!(error.code == Code::InvalidOperation && error.message.contains(message), "{}", error.message);
    }
}
