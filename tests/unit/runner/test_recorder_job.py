# SPDX-License-Identifier: Apache-2.0
"""A part's document becomes the engine's arguments and configuration; secrets appear in it as paths alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.api.channel import Stream
from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.storage import StoragePlace
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.runner.control_protocol import Job, Mode, SecretText
from cloud_recording.runner.recorder.engine_arguments import secret_files
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.recorder_job import JobBuilder
from cloud_recording.runner.supervisor.streams_refusal import streams_refusal
from tests.unit.runner.documents import RECORDING_ID, document, storage

DESIRED = DesiredState(
    generation=1,
    state=DesiredRecordingState.RECORDING,
    layout=Layout.VERTICAL,
    max_resolution_uid=12,
    upload_grace_seconds=1,
)


def builder(told: dict[str, Any], secrets: Path, **more: Any) -> JobBuilder:
    recording = RecordingDocument.model_validate(told)
    return JobBuilder(recording, MountedSecrets(recording, secrets), **{"work": Path("/work"), **more})


def mounted(told: dict[str, Any], secrets: Path) -> MountedSecrets:
    return MountedSecrets(RecordingDocument.model_validate(told), secrets)


def test_the_whole_job_of_a_recording(tmp_path: Path) -> None:
    job = builder(document(), tmp_path).job(Mode.RECORD, DESIRED)
    assert job.configuration == {
        "recordingId": RECORDING_ID,
        "filePrefix": "bak0_",
        "workDir": "/work",
        "workBytes": 2 * 1024**3,
        "sliceSeconds": 15,
        "protocols": ["rtmp", "rtsp"],
        "allowLinkLocal": False,
        "allowedHosts": ["*"],
        "fit": "Crop",
        "outputs": ["HLS"],
        "storage": {
            "endpoint": "https://s3.example.com",
            "region": "us-east-1",
            "pathStyle": True,
            "credentialFiles": {
                "accessKey": str(tmp_path / "bucket" / "accessKey"),
                "secretKey": str(tmp_path / "bucket" / "secretKey"),
            },
        },
        "finalUploadSeconds": None,
        "keepDirectory": True,
        "log": {"to": "StandardError", "libav": True},
        "channels": [
            {
                "name": "room 1",
                "streams": [
                    {"uid": 11, "url": "rtsp://example.com/a", "name": "alice", "silenceSeconds": 30},
                    {"uid": 12, "urlFile": str(tmp_path / "streams" / "bob"), "silenceSeconds": 5},
                ],
            }
        ],
    }
    assert job.numbers == {
        "stream_types": 2,
        "decryption_mode": 0,
        "channel_type": 0,
        "audio_profile": 0,
        "video_stream_type": 0,
        "max_idle_seconds": 30,
        "width": 1280,
        "height": 720,
        "frames_per_second": 15,
        "bitrate_kbps": 1130,
        "max_resolution_uid": 12,
        "layout": 2,
        "vendor": 1,
        "region": 0,
    }
    assert (job.app_id, job.token) == (
        SecretText(value="streams"),
        SecretText(path=str(tmp_path / "channel" / "token")),
    )
    assert Job.from_json(job.as_json()) == job


def a_room(
    tmp_path: Path,
    *,
    desired: DesiredState = DESIRED,
    token: bool = False,
    decryption: Mapping[str, Any] | None = None,
    **more: Any,
) -> Job:
    """The job of a recording of a room, joined with an API key or a token."""
    told = document()
    key = {} if token else {"apiKeySecretRef": {"name": "livekit", "apiSecretKey": "secret"}}
    channel = {"name": "room 1", "uid": 7, "livekit": {"url": "wss://livekit.example.com", **key, **more}}
    channel |= {} if decryption is None else {"decryption": decryption}
    told["spec"]["channel"] = channel | ({"tokenSecretRef": {"name": "livekit", "key": "token"}} if token else {})
    return builder(told, tmp_path).job(Mode.RECORD, desired)


def test_a_room_is_joined_with_the_secret_as_a_file_and_the_key_as_app_id(tmp_path: Path) -> None:
    people, sources = {"include": ["alice"], "exclude": ["bob"]}, ["Camera", "Microphone"]
    job = a_room(tmp_path, room="Room №1", identity="recorder-1", hidden=False, participants=people, sources=sources)
    secret = tmp_path / "livekit" / "secret"
    assert job.configuration["channels"] == [
        {
            "name": "room 1",
            "livekit": {
                "url": "wss://livekit.example.com",
                "apiKeyFile": str(tmp_path / "livekit" / "apiKey"),
                "apiSecretFile": str(secret),
                "room": "Room №1",
                "identity": "recorder-1",
                "participants": people,
                "sources": sources,
                "hidden": False,
            },
        }
    ]
    assert (job.app_id, job.token) == (SecretText(path=str(tmp_path / "livekit" / "apiKey")), None)
    assert secret in set(secret_files(job)), "what the log may not have"


def test_the_key_of_a_room_is_a_file_that_the_recorder_reads_by_itself(tmp_path: Path) -> None:
    key = {"name": "stand-up-key", "key": "passphrase"}
    job = a_room(tmp_path, decryption={"mode": "SharedKey", "secretRef": key})
    file = tmp_path / "stand-up-key" / "passphrase"
    assert job.configuration["channels"][0]["livekit"]["sharedKeyFile"] == str(file)
    assert job.numbers["decryption_mode"] == 0
    assert file in set(secret_files(job)), "what the log may not have"


def test_who_is_large_in_a_room_is_the_one_that_is_desired_now(tmp_path: Path) -> None:
    large = DESIRED.model_copy(update={"max_resolution_uid": None, "max_resolution_identity": "alice"})
    job = a_room(tmp_path, desired=large)
    assert job.configuration["channels"][0]["livekit"]["maxResolutionIdentity"] == "alice"
    assert job.numbers["max_resolution_uid"] == 0


def test_a_room_is_joined_with_a_token(tmp_path: Path) -> None:
    job = a_room(tmp_path, token=True)
    file = str(tmp_path / "livekit" / "token")
    room = {"url": "wss://livekit.example.com", "tokenFile": file, "hidden": True}
    assert job.configuration["channels"][0]["livekit"] == room
    assert (job.app_id.value, job.token) == ("streams", SecretText(path=file))


def test_a_part_that_somebody_was_there_before_waits_no_longer_than_for_idleness(tmp_path: Path) -> None:
    def configured(told: dict[str, Any]) -> Mapping[str, Any]:
        part = builder(told, tmp_path)
        return dict(part.job(Mode.RECORD, DESIRED).configuration)

    assert configured({**document(), "maxWaitSeconds": 3600})["maxWaitSeconds"] == 3600
    assert "maxWaitSeconds" not in configured(document())


def test_the_backup_is_told_with_its_own_keys(tmp_path: Path) -> None:
    spare = {**storage(bucket="spare", prefix="a"), "credentials": {"secretRef": {"name": "spare"}}, "afterSeconds": 5}
    job = builder(document(backup=spare), tmp_path).job(Mode.RECORD, DESIRED)
    assert job.configuration["backup"] == {
        "vendor": "S3",
        "bucket": "spare",
        "endpoint": "https://s3.example.com",
        "region": "us-east-1",
        "prefix": "a",
        "pathStyle": True,
        "afterSeconds": 5,
        "credentialFiles": {
            "accessKey": str(tmp_path / "spare" / "accessKey"),
            "secretKey": str(tmp_path / "spare" / "secretKey"),
        },
    }
    assert {str(tmp_path / "spare" / key) for key in ("accessKey", "secretKey")} <= {
        str(need.path) for need in mounted(document(backup=spare), tmp_path).needed()
    }
    assert {tmp_path / "spare" / key for key in ("accessKey", "secretKey")} <= set(secret_files(job)), "no log has them"


def test_keys_for_a_while_have_their_session_token_beside_them(tmp_path: Path) -> None:
    keys = {"secretRef": {"name": "bucket", "accessKeyKey": "a", "secretKeyKey": "s", "sessionTokenKey": "t"}}
    told = document(bucket=storage(credentials=keys))
    job = builder(told, tmp_path).job(Mode.RECORD, DESIRED)
    files = {name: tmp_path / "bucket" / key for name, key in (("accessKey", "a"), ("secretKey", "s"))}
    files["sessionToken"] = tmp_path / "bucket" / "t"
    assert job.configuration["storage"]["credentialFiles"] == {name: str(path) for name, path in files.items()}
    assert set(files.values()) <= set(secret_files(job)), "no log has them"
    assert files["sessionToken"] in {need.path for need in mounted(told, tmp_path).needed()}


@pytest.mark.parametrize(
    ("by", "identity"),
    [({"serviceAccountName": "films"}, "Environment"), ({"instanceIdentity": True}, "Instance")],
)
def test_a_bucket_that_an_identity_opens_has_no_keys(tmp_path: Path, by: dict[str, Any], identity: str) -> None:
    bucket = {name: value for name, value in storage(**by).items() if name != "credentials"}
    told = document(bucket=bucket, backup={**bucket, "bucket": "spare"})
    job = builder(told, tmp_path).job(Mode.RECORD, DESIRED)
    assert (job.access_key, job.secret_key) == (SecretText(value=""), SecretText(value=""))
    for store in ("storage", "backup"):
        assert job.configuration[store]["identity"] == identity
        assert "credentialFiles" not in job.configuration[store]
        assert "directory" not in job.configuration[store]
    assert not {need.name for need in mounted(told, tmp_path).needed()} & {"bucket", "spare"}


def test_the_google_service_account_that_a_pod_acts_as_is_told_beside_the_identity(tmp_path: Path) -> None:
    """Promise: without it the engine takes no such account's token; one that is not named is not told."""
    google = {"vendor": "GoogleCloudStorage", "bucket": "recordings", "serviceAccountName": "films"}
    acts_as = "films@example.iam.gserviceaccount.com"
    told = document(bucket={**google, "googleServiceAccount": acts_as}, backup={**google, "bucket": "spare"})
    job = builder(told, tmp_path).job(Mode.RECORD, DESIRED).configuration
    opened = {"vendor": "GoogleCloudStorage", "identity": "Environment"}
    assert job["storage"] == {**opened, "googleServiceAccount": acts_as}
    assert job["backup"] == {**opened, "bucket": "spare", "afterSeconds": 60}


@pytest.mark.parametrize("asked", [{}, {"longestSliceSeconds": 40}])
def test_the_only_stream_is_passed_through_where_that_is_asked_for(tmp_path: Path, asked: dict[str, Any]) -> None:
    told = document(recording={"video": {"passthrough": asked}})
    (channel,) = builder(told, tmp_path).job(Mode.RECORD, DESIRED).configuration["channels"]
    assert channel["passthrough"] == asked


@pytest.mark.parametrize(
    ("bucket", "vendor", "region", "name", "path_style"),
    [
        (storage(vendor="AWS", region="eu-west-3"), 1, 6, "eu-west-3", False),
        (storage(vendor="AWS", region=14), 1, 14, "ap-south-1", False),
        (storage(vendor="AWS", region="eu-south-9"), 1, 0, "eu-south-9", False),
        (storage(vendor="Qiniu", region=2), 0, 2, "south-china", False),
        (storage(vendor="Aliyun", region="beijing", addressing="Path"), 2, 3, "beijing", True),
        (storage(region="home"), 1, 0, "home", True),
    ],
)
def test_vendors_and_regions_get_the_interfaces_numbers_and_the_engines_names(
    tmp_path: Path, bucket: dict[str, Any], vendor: int, region: int, name: str, *, path_style: bool
) -> None:
    job = builder(document(bucket=bucket), tmp_path).job(Mode.RECORD, DESIRED)
    assert (job.numbers["vendor"], job.numbers["region"]) == (vendor, region)
    assert (job.configuration["storage"]["region"], job.configuration["storage"]["pathStyle"]) == (name, path_style)


def test_a_claims_size_is_left_to_its_file_system(tmp_path: Path) -> None:
    work = {"persistentVolumeClaim": {"size": "10Gi"}}
    assert "workBytes" not in builder(document(work=work), tmp_path).job(Mode.RECORD, DESIRED).configuration


def test_a_volume_on_the_nodes_disk_is_told_from_one_of_its_own(tmp_path: Path) -> None:
    def volume(scratch: Path | None) -> object:
        jobs = builder(document(), tmp_path, work=tmp_path, scratch=scratch)
        return jobs.job(Mode.RECORD, DESIRED).configuration.get("workVolume")

    (tmp_path / "scratch").mkdir()
    assert volume(tmp_path / "scratch") == "NodeDisk"
    assert volume(Path("/proc")) is None
    assert volume(None) is None


@pytest.mark.parametrize("percent", [None, 0, 5])
def test_what_kubelets_keep_free_is_told_where_it_is_known(tmp_path: Path, percent: int | None) -> None:
    jobs = builder({**document(), "nodeDiskFreePercent": percent}, tmp_path, work=tmp_path, scratch=tmp_path)
    assert jobs.job(Mode.RECORD, DESIRED).configuration.get("nodeDiskFreePercent") == percent


def test_missing_secrets_are_named_with_the_field_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "accessKey").write_text("key")
    (tmp_path / "bucket" / "secretKey").touch()
    missing = mounted(document(bucket=storage(caSecretRef={"name": "ca", "key": "pem"})), tmp_path).missing()
    assert [(secret.secret_name, secret.key, secret.field) for secret in missing] == [
        ("channel", "token", "spec.channel.tokenSecretRef"),
        ("streams", "bob", "spec.channel.streams[1].urlSecretRef"),
        ("ca", "pem", "spec.storage.caSecretRef"),
        ("bucket", "secretKey", "spec.storage.credentials.secretRef"),
    ]


def test_what_a_streams_server_asks_for_is_handed_down_with_its_secrets_as_files(tmp_path: Path) -> None:
    stream = {
        "uid": 12,
        "url": "https://cdn.example.com/a.m3u8",
        "headers": [
            {"name": "Referer", "value": "https://example.com/"},
            {"name": "Authorization", "valueSecretRef": {"name": "cdn", "key": "bearer"}},
        ],
        "caSecretRef": {"name": "cdn", "key": "ca.pem"},
    }
    camera = {"uid": 13, "url": "rtsps://camera.example.com/1", "certificateSha256": "ab" * 32}
    body = document()
    body["spec"]["channel"]["streams"] = [stream, camera]
    assert builder(body, tmp_path).job(Mode.RECORD, DESIRED).configuration["channels"][0]["streams"] == [
        {
            "uid": 12,
            "url": "https://cdn.example.com/a.m3u8",
            "headers": [
                {"name": "Referer", "value": "https://example.com/"},
                {"name": "Authorization", "valueFile": str(tmp_path / "cdn" / "bearer")},
            ],
            "caFile": str(tmp_path / "cdn" / "ca.pem"),
            "silenceSeconds": 30,
        },
        {"uid": 13, "url": "rtsps://camera.example.com/1", "certificateSha256": "ab" * 32, "silenceSeconds": 30},
    ]
    assert [secret.field for secret in mounted(body, tmp_path).missing()][1:3] == [
        "spec.channel.streams[0].headers[1].valueSecretRef",
        "spec.channel.streams[0].caSecretRef",
    ]


def test_a_secret_loses_the_line_break_that_tools_append_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" spaced \n")
    assert SecretText(path=str(file)).read() == " spaced "


def one_participant(tmp_path: Path, url: str, *, beside: str | None = None) -> MountedSecrets:
    """A recording of participant 11, whose URL is in a Secret; with a URL beside, of participant 12 as well."""
    streams: list[dict[str, Any]] = [
        {"uid": 11, "name": "alice", "urlSecretRef": {"name": "streams", "key": "alice"}},
        *([{"uid": 12, "url": beside}] if beside else []),
    ]
    made = document()
    made["spec"]["channel"]["streams"] = streams
    for name, key in (("bucket", "accessKey"), ("bucket", "secretKey"), ("channel", "token"), ("streams", "alice")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / key).write_text(url if name == "streams" else "key")
    return mounted(made, tmp_path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rtmp://169.254.169.254/live/secret-part", "holds a URL with a link-local address, which is not allowed"),
        ("rtmp://[fe80::1]/live/secret-part", "holds a URL with a link-local address, which is not allowed"),
        ("ftp://media/secret-part", "holds no URL that may be used: it must begin with one of rtmp, rtsp, and ://"),
        ("secret-part", "holds no URL that may be used: it must begin with one of rtmp, rtsp, and ://"),
        ("rtmp://media/secret part", "holds no URL: there is white space or a control character in it"),
        ("rtmp://[media/secret-part", "holds no URL: its host cannot be read"),
    ],
)
def test_a_url_that_can_never_be_fetched_is_told_by_secret_key_and_participant(
    tmp_path: Path, url: str, sentence: str
) -> None:
    (missing,) = one_participant(tmp_path, url).missing()
    assert missing.unusable
    assert missing.sentence() == f"key 'alice' of Secret 'streams', named by participant 11 'alice', {sentence}"


@pytest.mark.parametrize("url", ["rtmp://media.example.com/live/alice\n", "rtsp://192.0.2.1:554/a?token=x"])
def test_a_url_that_may_be_fetched_is_not_objected_to(tmp_path: Path, url: str) -> None:
    assert one_participant(tmp_path, url).missing() == ()


def test_one_participant_with_a_good_url_is_enough_to_begin(tmp_path: Path) -> None:
    assert one_participant(tmp_path, "nonsense", beside="rtmp://media/b").missing() == ()


def test_an_empty_key_is_empty_and_not_absent(tmp_path: Path) -> None:
    (missing,) = one_participant(tmp_path, "").missing()
    assert missing.sentence() == "key 'alice' of Secret 'streams', named by participant 11 'alice', is empty"


def test_another_place_goes_into_the_job_and_to_the_engine(tmp_path: Path) -> None:
    place = StoragePlace(bucket="elsewhere", endpoint="https://s3.example.org", region="eu-north-1")
    job = builder(document(), tmp_path).job(Mode.RESCUE, DESIRED, place)
    assert (job.bucket, job.configuration["storage"]["endpoint"]) == ("elsewhere", "https://s3.example.org")
    engines = {
        "bucket": "elsewhere",
        "vendor": "S3",
        "endpoint": "https://s3.example.org",
        "region": "eu-north-1",
        "pathStyle": True,
    }
    assert job.configuration["place"] == engines
    assert builder(document(), tmp_path).storage_change(place) == engines


def test_a_proxy_is_told_of_the_storage_of_the_backup_and_of_another_place(tmp_path: Path) -> None:
    behind = {"proxyURL": "http://proxy.example.com:3128"}
    spare = {**storage(bucket="spare", **behind), "credentials": {"secretRef": {"name": "spare"}}}
    jobs = builder(document(bucket=storage(**behind), backup=spare), tmp_path)
    told = jobs.job(Mode.RECORD, DESIRED).configuration
    assert told["storage"]["proxyUrl"] == told["backup"]["proxyUrl"] == behind["proxyURL"]
    there = StoragePlace(bucket="elsewhere", endpoint="https://s3.example.org", proxy_url="http://other.example.com")
    assert jobs.storage_change(there)["proxyUrl"] == "http://other.example.com"


def test_what_objects_get_is_told_as_the_manifest_has_it(tmp_path: Path) -> None:
    """Promise: of the storage and of the backup, by the same names."""
    objects = {
        "metadata": {"team": "films"},
        "tags": {"retention": "90d"},
        "cacheControl": "no-store",
        "storageClass": "STANDARD_IA",
        "serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": "k"},
    }
    spare = {**storage(bucket="spare", objects={"tags": {"a": "b"}}), "credentials": {"secretRef": {"name": "spare"}}}
    told = builder(document(bucket=storage(objects=objects), backup=spare), tmp_path).job(Mode.RECORD, DESIRED)
    assert told.configuration["storage"]["objects"] == objects
    assert told.configuration["backup"]["objects"] == {"tags": {"a": "b"}}
    plain = builder(document(), tmp_path).job(Mode.RECORD, DESIRED)
    assert "objects" not in plain.configuration["storage"]


def test_a_store_in_which_nothing_is_put_twice_is_told_as_the_manifest_has_it(tmp_path: Path) -> None:
    told = builder(document(bucket=storage(livePlaylist=False)), tmp_path).job(Mode.RECORD, DESIRED)
    assert told.configuration["storage"]["livePlaylist"] is False
    plain = builder(document(), tmp_path).job(Mode.RECORD, DESIRED)
    assert "livePlaylist" not in plain.configuration["storage"]


def test_a_bucket_of_googles_is_told_by_its_vendor_and_key_and_no_number_says_it(tmp_path: Path) -> None:
    """Promise: what is not S3's reaches the engine whole, for the bucket, the backup, and another place."""
    google = {
        "vendor": "GoogleCloudStorage",
        "bucket": "films",
        "credentials": {"serviceAccountKeySecretRef": {"name": "account", "key": "key.json"}},
    }
    jobs = builder(document(bucket=google, backup={**google, "bucket": "spare", "prefix": "a"}), tmp_path)
    job = jobs.job(Mode.RECORD, DESIRED)
    key = {"serviceAccountKey": str(tmp_path / "account" / "key.json")}
    assert job.configuration["storage"] == {"vendor": "GoogleCloudStorage", "credentialFiles": key}
    backup = {"vendor": "GoogleCloudStorage", "bucket": "spare", "prefix": "a", "afterSeconds": 60}
    assert job.configuration["backup"] == {**backup, "credentialFiles": key}
    assert (job.bucket, job.access_key, job.secret_key) == ("films", SecretText(value=""), SecretText(value=""))
    moved = jobs.storage_change(StoragePlace(bucket="reels", endpoint="https://gcs.example.com"))
    assert moved == {"bucket": "reels", "vendor": "GoogleCloudStorage", "endpoint": "https://gcs.example.com"}


def test_a_container_of_azures_is_told_with_its_account(tmp_path: Path) -> None:
    """Promise: account, key and token reach the engine, and another account is another place."""
    azure = {"vendor": "AzureBlobStorage", "bucket": "films", "account": "examplefilms"}
    key, token = (
        {"credentials": {f"{name}SecretRef": {"name": "azure", "key": name}}} for name in ("accountKey", "sasToken")
    )
    jobs = builder(document(bucket={**azure, **key}, backup={**azure, **token, "bucket": "spare"}), tmp_path)
    job = jobs.job(Mode.RECORD, DESIRED)
    told = {"vendor": "AzureBlobStorage", "account": "examplefilms"}
    files = {name: str(tmp_path / "azure" / name) for name in ("accountKey", "sasToken")}
    assert job.configuration["storage"] == {**told, "credentialFiles": {"accountKey": files["accountKey"]}}
    spare = {**told, "credentialFiles": {"sasToken": files["sasToken"]}, "bucket": "spare", "afterSeconds": 60}
    assert job.configuration["backup"] == spare
    assert (job.bucket, job.access_key, job.secret_key) == ("films", SecretText(value=""), SecretText(value=""))
    assert jobs.storage_change(StoragePlace(bucket="reels", account="otherfilms")) == {
        **told,
        "bucket": "reels",
        "account": "otherfilms",
    }


@pytest.mark.parametrize("mode", Mode)
def test_directories_are_where_they_are_mounted_and_nothing_of_buckets_is_beside_them(
    tmp_path: Path, mode: Mode
) -> None:
    body = document(
        bucket={"directory": {"claimName": "films"}, "prefix": "a/b"},
        backup={"directory": {"claimName": "spare"}, "afterSeconds": 5},
    )
    job = builder({**body, "directory": "/mnt/storage", "backupDirectory": "/mnt/backup"}, tmp_path).job(mode, DESIRED)
    assert job.configuration["storage"] == {"directory": "/mnt/storage", "prefix": "a/b"}
    assert job.configuration["backup"] == {"directory": "/mnt/backup", "afterSeconds": 5}
    assert "place" not in job.configuration
    assert (job.bucket, job.access_key, job.secret_key) == ("", SecretText(value=""), SecretText(value=""))
    assert not any("bucket" in need.name or "storage" in need.field for need in mounted(body, tmp_path).needed())


BOB: dict[str, Any] = {"uid": 12, "urlSecretRef": {"name": "streams", "key": "bob"}}
CAROL: dict[str, Any] = {"uid": 13, "url": "rtmp://media.example.com/carol", "name": "carol"}


def streams(*told: dict[str, Any]) -> tuple[Stream, ...]:
    return tuple(Stream.model_validate(stream) for stream in told)


def test_other_participants_go_into_the_job_and_to_the_engine(tmp_path: Path) -> None:
    engines = [
        {"uid": 12, "urlFile": str(tmp_path / "streams" / "bob"), "silenceSeconds": 30},
        {"uid": 13, "url": "rtmp://media.example.com/carol", "name": "carol", "silenceSeconds": 30},
    ]
    others = streams(BOB, CAROL)
    job = builder(document(), tmp_path).job(Mode.RECORD, DESIRED, streams=others)
    assert job.configuration["channels"][0]["streams"] == engines
    assert builder(document(), tmp_path).streams_change(others) == engines


def test_what_only_a_participant_who_is_gone_needed_is_not_waited_for(tmp_path: Path) -> None:
    secrets = mounted(document(), tmp_path)
    assert "bob" in {need.key for need in secrets.needed()}
    secrets.streams = streams(CAROL)
    assert "bob" not in {need.key for need in secrets.needed()}


@pytest.mark.parametrize(
    ("purpose", "names"),
    [
        ({}, {"channel", "streams", "bucket", "spare"}),
        ({"part": {"number": 1, "rescue": True}}, {"bucket", "spare"}),
        ({"parts": [{"playlist": "a.m3u8"}]}, {"bucket"}),
    ],
    ids=["records", "rescues", "merges"],
)
def test_a_pod_waits_only_for_secrets_of_what_it_does(tmp_path: Path, purpose: dict[str, Any], names: set[str]) -> None:
    """Promise: what a lost pod left is delivered, though the Secrets of its channel are gone."""
    spare = {"bucket": "spare", "vendor": "AWS", "region": "eu-west-1", "credentials": {"secretRef": {"name": "spare"}}}
    secrets = mounted({**document(backup=spare), **purpose}, tmp_path)
    assert {missing.secret_name for missing in secrets.missing()} == names


def test_participants_whom_the_pod_cannot_reach_are_refused_with_the_field(tmp_path: Path) -> None:
    told = RecordingDocument.model_validate({**document(), "streamHosts": ["*.example.com"]})
    secrets = MountedSecrets(told, tmp_path)
    for name, key in (("bucket", "accessKey"), ("bucket", "secretKey"), ("channel", "token")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / key).write_text("x")
    assert streams_refusal(streams(CAROL), told, secrets) == ""
    refusal = streams_refusal(streams(CAROL, BOB), told, secrets)
    assert "`spec.channel.streams[1].urlSecretRef` names the key 'bob' of the Secret 'streams'" in refusal
    elsewhere = streams({**CAROL, "url": "rtmp://elsewhere.example.org/carol"})
    assert "`spec.channel.streams[0].url` must not lead to 'elsewhere.example.org'" in streams_refusal(
        elsewhere, told, secrets
    )


def test_a_missing_key_of_a_shared_store_is_named_where_that_is_described(tmp_path: Path) -> None:
    """Promise: nobody looks in a recording for a field that its RecordingStorage has."""
    told = {**document(backup={**storage(), "bucket": "spare"}), "storageName": "films", "backupName": "spare"}
    secrets = MountedSecrets(RecordingDocument.model_validate(told), tmp_path)
    fields = {need.field for need in secrets.needed() if need.name == "bucket"}
    assert fields == {
        "RecordingStorage/films spec.credentials.secretRef",
        "RecordingStorage/spare spec.credentials.secretRef",
    }
