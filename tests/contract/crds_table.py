# SPDX-License-Identifier: Apache-2.0
"""What the API server must refuse: each row is a mistake somebody will make, and what the answer must name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tests.contract.crds_manifests import REMOVED, a_stream


class Mistake(NamedTuple):
    """Changes to a valid manifest that make it wrong, and what the refusal must say."""

    called: str
    changes: Mapping[str, Any]
    field: str
    rule: str
    kept: str = "Traceback"
    """What the answer must not repeat."""


_ONE_OF_URL: Final = "must have exactly one of `url` and `urlSecretRef`"
SECRET_PARAMETERS: Final = (
    *("pass", "passphrase", "passwd", "password", "pwd", "secret", "token", "key", "signature", "auth", "sig", "sign"),
    *("X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "jwt", "access_token", "auth_key", "apikey"),
    *("api-key", "txSecret", "wsSecret", "stream_key", "streamKey", "hdnts"),
)
_SECRET_REF: Final = {"name": "streams", "key": "alice"}

_ROOM: Final = {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}}
_DECRYPTION: Final = {"mode": "SharedKey", "secretRef": {"name": "stand-up-key", "key": "passphrase"}}
A_ROOM: Final = {"channel.streams": REMOVED, "channel.livekit": _ROOM}

_PLACE: Final = {
    "endpoint": "https://s3.example.com",
    "bucket": "recordings",
    "credentials": {"secretRef": {"name": "bucket-credentials"}},
}
_OPENED: Final = "must have exactly one of `credentials`, `serviceAccountName` and `instanceIdentity` beside `bucket`"
_BY_ACCOUNT: Final = {"storage.credentials": REMOVED, "storage.serviceAccountName": "recorder"}
_CLAIM: Final = {"claimName": "films"}
_REF: Final = {"name": "films"}
_OF_GOOGLE: Final = {"vendor": "GoogleCloudStorage", "bucket": "google_recordings"}
_ACTS_AS: Final = {"googleServiceAccount": "films@example.iam.gserviceaccount.com"}
_PLACE_BY_ACCOUNT: Final = {
    "endpoint": "https://s3.example.com",
    "bucket": "recordings",
    "serviceAccountName": "recorder",
}
_GOOGLE: Final = {
    **_OF_GOOGLE,
    "credentials": {"serviceAccountKeySecretRef": {"name": "account", "key": "key.json"}},
}
_OF_AZURE: Final = {"vendor": "AzureBlobStorage", "account": "examplefilms", "bucket": "recordings"}
_AZURE: Final[dict[str, Any]] = {
    **_OF_AZURE,
    "credentials": {"accountKeySecretRef": {"name": "account", "key": "accountKey"}},
}
_BY_TOKEN: Final = {"credentials": {"sasTokenSecretRef": {"name": "account", "key": "sasToken"}}}
_ONE_STORE: Final = "must have exactly one of `bucket`, `directory` and `ref`"
_BACKUP: Final = {**_PLACE, "bucket": "spare"}

CREATION_MISTAKES: Final = (
    Mistake("an unknown field", {"chanel": {}}, "spec.chanel", "unknown field"),
    Mistake("no channel", {"channel": REMOVED}, "spec.channel", "Required value"),
    Mistake("no channel name", {"channel.name": REMOVED}, "spec.channel.name", "Required value"),
    Mistake("an empty channel name", {"channel.name": ""}, "spec.channel.name", "at least 1 chars long"),
    Mistake(
        "a channel name of more than 64 bytes", {"channel.name": "会" * 22}, "spec.channel.name", "at most 64 bytes"
    ),
    Mistake("a line break in the channel name", {"channel.name": "a\nb"}, "spec.channel.name", "control characters"),
    Mistake("a uid that is text", {"channel.uid": "1000"}, "spec.channel.uid", "must be of type integer"),
    Mistake("uid 0", {"channel.uid": 0}, "spec.channel.uid", "greater than or equal to 1"),
    Mistake("a uid beyond 32 bits", {"channel.uid": 2**32}, "spec.channel.uid", "less than or equal to 4294967295"),
    Mistake("the recorder's uid given to a participant", {"channel.uid": 2}, "spec.channel.uid", "must differ from"),
    Mistake(
        "both App ID and a Secret for it",
        {"channel.appId": "a", "channel.appIdSecretRef": _SECRET_REF},
        "spec.channel",
        "at most one of `appId` and `appIdSecretRef`",
    ),
    Mistake("an unknown channel type", {"channel.type": "live"}, "spec.channel.type", '"Communication", "Live"'),
    Mistake(
        "neither streams nor a room",
        {"channel.streams": REMOVED},
        "spec.channel",
        "must have exactly one of `streams` and `livekit`",
    ),
    Mistake(
        "both streams and a room", {"channel.livekit": _ROOM}, "spec.channel", "exactly one of `streams` and `livekit`"
    ),
    Mistake(
        "nothing to join a room with",
        {**A_ROOM, "channel.livekit": {"url": "wss://livekit.example.com"}},
        "spec.channel",
        "exactly one of `livekit.apiKeySecretRef` and `tokenSecretRef`",
    ),
    Mistake(
        "both a key and a token for a room",
        {**A_ROOM, "channel.tokenSecretRef": _SECRET_REF},
        "spec.channel",
        "exactly one of `livekit.apiKeySecretRef` and `tokenSecretRef`",
    ),
    Mistake(
        "an identity beside a token, which has one",
        {
            **A_ROOM,
            "channel.livekit": {"url": "wss://livekit.example.com", "identity": "recorder"},
            "channel.tokenSecretRef": _SECRET_REF,
        },
        "spec.channel.livekit.identity",
        "the token says who the recorder is",
    ),
    Mistake(
        "a key of streams", {"channel.decryption": _DECRYPTION}, "spec.channel.decryption", "unless `livekit` is there"
    ),
    Mistake(
        "a mode that rooms do not have",
        {**A_ROOM, "channel.decryption": {**_DECRYPTION, "mode": "Aes128Xts"}},
        "spec.channel.decryption.mode",
        '"SharedKey"',
    ),
    Mistake("an App ID for a room", {**A_ROOM, "channel.appId": "a"}, "spec.channel", "neither `appId` nor"),
    Mistake(
        "a room name of more than 256 bytes",
        {**A_ROOM, "channel.livekit.room": "会" * 86},
        "spec.channel.livekit.room",
        "at most 256 bytes",
    ),
    Mistake(
        "an identity of nothing",
        {**A_ROOM, "channel.livekit.identity": ""},
        "spec.channel.livekit.identity",
        "at least 1",
    ),
    Mistake(
        "nobody who is included",
        {**A_ROOM, "channel.livekit.participants": {"include": []}},
        "spec.channel.livekit.participants.include",
        "at least 1 items",
    ),
    Mistake(
        "an excluded identity of more than 256 bytes",
        {**A_ROOM, "channel.livekit.participants": {"exclude": ["bob", "会" * 86]}},
        "spec.channel.livekit.participants.exclude[1]",
        "at most 256 bytes",
    ),
    Mistake(
        "a source that LiveKit does not have",
        {**A_ROOM, "channel.livekit.sources": ["Camera", "Window"]},
        "spec.channel.livekit.sources[1]",
        "Unsupported value",
    ),
    Mistake(
        "somebody large by uid and by identity",
        {**A_ROOM, "recording.video": {"layout": "Vertical", "maxResolutionUid": 1, "maxResolutionIdentity": "alice"}},
        "spec.recording.video.maxResolutionIdentity",
        "must be left out beside `maxResolutionUid`",
    ),
    Mistake(
        "an identity of no room",
        {"recording.video.maxResolutionIdentity": "alice"},
        "spec.recording.video.maxResolutionIdentity",
        "unless the channel is a LiveKit room",
    ),
    Mistake(
        "the same source twice",
        {**A_ROOM, "channel.livekit.sources": ["Camera", "Camera"]},
        "spec.channel.livekit.sources",
        "the same twice",
    ),
    Mistake(
        "cameras alone of which the sound is recorded",
        {**A_ROOM, "channel.livekit.sources": ["Camera", "ScreenShare"], "recording.streams": "AudioOnly"},
        "spec.channel.livekit.sources",
        "nothing would be recorded",
    ),
    *(
        Mistake(called, {**A_ROOM, "channel.livekit.url": url}, "spec.channel.livekit.url", rule, kept="hunter2")
        for called, url, rule in (
            ("a room at an RTMP server", "rtmp://livekit.example.com", "whose scheme is one of 'ws', 'wss'"),
            (
                "a password in a LiveKit server's URL",
                "wss://me:hunter2@livekit.example.com",
                "must not carry credentials before '@'; name the Secret",
            ),
            (
                "a token in a LiveKit server's URL",
                "wss://livekit.example.com/rtc?access_token=hunter2",
                "must not carry a password, key, token",
            ),
            ("a link-local LiveKit server", "ws://169.254.169.254:7880", "link-local address"),
            ("a blank in a LiveKit server's URL", "ws://livekit .example.com", "white space"),
        )
    ),
    Mistake(
        "a room that is passed through",
        {**A_ROOM, "recording.video.passthrough": {}},
        "spec.recording.video.passthrough",
        "unless `channel.streams` has exactly one participant",
    ),
    Mistake("an empty list of streams", {"channel.streams": []}, "spec.channel.streams", "at least 1 items"),
    Mistake(
        "eighteen streams",
        {"channel.streams": [a_stream(uid) for uid in range(1, 19)]},
        "spec.channel.streams",
        "must have at most 17 items",
    ),
    Mistake(
        "two participants of one uid",
        {"channel.streams": [a_stream(1), a_stream(1)]},
        "spec.channel.streams[1]",
        "Duplicate value",
    ),
    Mistake(
        "a participant with uid 0", {"channel.streams": [a_stream(0)]}, "spec.channel.streams[0].uid", "equal to 1"
    ),
    Mistake("a stream without a URL", {"channel.streams.0.url": REMOVED}, "spec.channel.streams[0]", _ONE_OF_URL),
    Mistake(
        "a stream with both a URL and a Secret for it",
        {"channel.streams.0.urlSecretRef": _SECRET_REF},
        "spec.channel.streams[0]",
        _ONE_OF_URL,
    ),
    Mistake(
        "a header with a secret in plain",
        {
            "channel.streams.0.url": "https://a.example.com/a.m3u8",
            "channel.streams.0.headers": [{"name": "Authorization", "value": "Bearer hunter2"}],
        },
        "spec.channel.streams[0].headers[0]",
        "must have its value in a Secret",
    ),
    Mistake(
        "a header of the connection",
        {
            "channel.streams.0.url": "https://a.example.com/a.m3u8",
            "channel.streams.0.headers": [{"name": "Host", "value": "b.example.com"}],
        },
        "spec.channel.streams[0].headers[0].name",
        "must not be a header that the recorder sends by itself",
    ),
    Mistake(
        "headers for a stream that has none",
        {
            "channel.streams.0.url": "rtmp://a.example.com/live/a",
            "channel.streams.0.headers": [{"name": "Referer", "value": "https://b.example.com/"}],
        },
        "spec.channel.streams[0].headers",
        "must be left out unless",
    ),
    Mistake(
        "a pinned certificate for a stream without TLS",
        {"channel.streams.0.url": "rtsp://cam.example.com/1", "channel.streams.0.certificateSha256": "ab" * 32},
        "spec.channel.streams[0]",
        "must have neither `caSecretRef` nor `certificateSha256` unless",
    ),
    Mistake(
        "a digest that is none",
        {"channel.streams.0.url": "rtsps://cam.example.com/1", "channel.streams.0.certificateSha256": "sha256"},
        "spec.channel.streams[0].certificateSha256",
        "must be 64 hexadecimal digits",
    ),
    Mistake(
        "a local file as a stream",
        {"channel.streams.0.url": "file:///etc/passwd"},
        "spec.channel.streams[0].url",
        "whose scheme is one of 'rtmp'",
    ),
    Mistake(
        "a password in a stream's URL",
        {"channel.streams.0.url": "rtsp://me:secret@cam.example.com/1"},
        "spec.channel.streams[0].url",
        "must not carry credentials before '@'",
    ),
    Mistake(
        "a passphrase in a stream's query",
        {"channel.streams.0.url": "srt://cam.example.com:9000?mode=caller&passphrase=0123456789"},
        "spec.channel.streams[0].url",
        "must not carry a password, key, token or signature in its query",
    ),
    *(
        Mistake(
            f"a secret in a stream's URL: {url.partition('://')[2]}",
            {"channel.streams.0.url": url},
            "spec.channel.streams[0].url",
            "must not carry",
            kept="hunter2",
        )
        for url in (
            *(f"https://cdn.example.com/a.m3u8?b=1&{name}=hunter2" for name in SECRET_PARAMETERS),
            "rtmp://me:hunter2@media.example.com/live/a",
            "srt://media.example.com:9000?streamid=#!::r=a,m=request,p=hunter2",
            "srt://media.example.com:9000?streamid=%23!::r%3Da%2Cpassword%3Dhunter2&latency=200",
            "srt://media.example.com:9000?streamid=read:stage:me:hunter2",
            "srt://media.example.com:9000?streamid=live/a?token=hunter2",
            "ftp://me:hunter2@media.example.com/a",
        )
    ),
    Mistake(
        "a password in the endpoint",
        {"storage.endpoint": "https://me:hunter2@s3.example.com"},
        "spec.storage.endpoint",
        "must not carry credentials",
        kept="hunter2",
    ),
    Mistake(
        "a metadata service as a stream",
        {"channel.streams.0.url": "http://100.100.100.200/latest/meta-data"},
        "spec.channel.streams[0].url",
        "metadata service",
    ),
    Mistake(
        "a link-local address as a stream",
        {"channel.streams.0.url": "http://169.254.169.254/latest/meta-data"},
        "spec.channel.streams[0].url",
        "link-local",
    ),
    Mistake(
        "a blank in a stream's URL",
        {"channel.streams.0.url": "rtmp://media.example.com/live/alice -i /etc/passwd"},
        "spec.channel.streams[0].url",
        "white space",
    ),
    Mistake(
        "a Secret name that no Secret can have",
        {"channel.tokenSecretRef": {"name": "My Secret", "key": "token"}},
        "spec.channel.tokenSecretRef.name",
        "must be the name of a Secret",
    ),
    Mistake(
        "a Secret key that no Secret can have",
        {"channel.tokenSecretRef": {"name": "token", "key": "../token"}},
        "spec.channel.tokenSecretRef.key",
        "must be a key of a Secret",
    ),
    Mistake("an odd width", {"recording.video.width": 641}, "spec.recording.video.width", "must be even"),
    Mistake("an odd height", {"recording.video.height": 359}, "spec.recording.video.height", "must be even"),
    Mistake(
        "a canvas beyond 1080p",
        {"recording.video": {"width": 1920, "height": 1920}},
        "spec.recording.video",
        "must be at most 1920 by 1080 or 1080 by 1920 pixels",
    ),
    Mistake("a canvas of 4K", {"recording.video.width": 3840}, "spec.recording.video.width", "equal to 1920"),
    Mistake(
        "120 frames per second",
        {"recording.video.framesPerSecond": 120},
        "spec.recording.video.framesPerSecond",
        "less than or equal to 60",
    ),
    Mistake("no bit rate", {"recording.video.bitrateKbps": 0}, "spec.recording.video.bitrateKbps", "equal to 10"),
    Mistake("an unknown layout", {"recording.video.layout": "Grid"}, "spec.recording.video.layout", '"BestFit"'),
    Mistake(
        "Vertical without a large participant",
        {"recording.video.layout": "Vertical"},
        "spec.recording.video.maxResolutionUid",
        "must be set when `layout` is 'Vertical'",
    ),
    Mistake(
        "a large participant who is not in the channel",
        {"recording.video": {"layout": "Vertical", "maxResolutionUid": 9}},
        "spec.recording.video.maxResolutionUid",
        "must be the `uid` of a participant",
    ),
    Mistake(
        "the SDK's spelling of an audio profile",
        {"recording.audioProfile": "kAudioProfileMusicStandard"},
        "spec.recording.audioProfile",
        '"MusicStandard"',
    ),
    Mistake(
        "an idle time below the service's minimum",
        {"recording.maxIdleSeconds": 4},
        "spec.recording.maxIdleSeconds",
        "greater than or equal to 5",
    ),
    Mistake("no time to come", {"recording.maxWaitSeconds": 0}, "spec.recording.maxWaitSeconds", "equal to 5"),
    Mistake("a stretched picture", {"recording.video.fit": "Stretch"}, "spec.recording.video.fit", '"Contain"'),
    Mistake(
        "two streams passed through",
        {"recording.video.passthrough": {}},
        "spec.recording.video.passthrough",
        "unless `channel.streams` has exactly one participant",
    ),
    Mistake(
        "slices that are longer than the longest",
        {"channel.streams": [a_stream(1)], "recording.video.passthrough": {"longestSliceSeconds": 15}},
        "spec.recording.video.passthrough.longestSliceSeconds",
        "must be more than `sliceSeconds`",
    ),
    Mistake(
        "slices longer than two minutes",
        {"channel.streams": [a_stream(1)], "recording.video.passthrough": {"longestSliceSeconds": 121}},
        "spec.recording.video.passthrough.longestSliceSeconds",
        "less than or equal to 120",
    ),
    Mistake("nothing but an MP4", {"recording.outputs": ["MP4"]}, "spec.recording.outputs", "must have 'HLS'"),
    Mistake("HLS twice", {"recording.outputs": ["HLS", "HLS"]}, "spec.recording.outputs", "not have the same twice"),
    Mistake("another container", {"recording.outputs": ["HLS", "MKV"]}, "spec.recording.outputs[1]", '"HLS", "MP4"'),
    Mistake("a backup in the same place", {"backup": _PLACE}, "spec.backup", "must be another place than `storage`"),
    Mistake(
        "a backup in the same place, written otherwise",
        {"backup": _PLACE | {"endpoint": "https://S3.example.com/"}},
        "spec.backup",
        "must be another place than `storage`",
    ),
    Mistake(
        "a backup without an endpoint", {"backup": {**_BACKUP, "vendor": "AWS", "endpoint": "s3"}}, "spec.backup", "URL"
    ),
    Mistake(
        "a backup for the day after tomorrow",
        {"backup": {**_BACKUP, "afterSeconds": 86_401}},
        "spec.backup.afterSeconds",
        "less than or equal to 86400",
    ),
    Mistake("slices of no length", {"recording.sliceSeconds": 0}, "spec.recording.sliceSeconds", "equal to 2"),
    Mistake("no storage", {"storage": REMOVED}, "spec.storage", "Required value"),
    Mistake("no store", {"storage.bucket": REMOVED}, "spec.storage", _ONE_STORE),
    Mistake("a bucket and a directory", {"storage.directory": _CLAIM}, "spec.storage", _ONE_STORE),
    Mistake("a bucket and a reference", {"storage.ref": _REF}, "spec.storage", _ONE_STORE),
    Mistake("a reference to nothing", {"storage": {"ref": {}}}, "spec.storage.ref.name", "Required value"),
    Mistake(
        "capitals in a reference",
        {"storage": {"ref": {"name": "Films"}}},
        "spec.storage.ref.name",
        "name of a RecordingStorage",
    ),
    *(
        Mistake(
            f"a reference's {field}", {"storage": {"ref": _REF, field: value}}, "spec.storage", "nothing of a store"
        )
        for field, value in (
            ("prefix", "a"),
            ("endpoint", "https://s3.example.com"),
            ("region", "eu-north-1"),
            ("objects", {}),
            ("livePlaylist", False),
        )
    ),
    Mistake(
        "the same reference as backup",
        {"storage": {"ref": _REF}, "backup": {"ref": _REF}},
        "spec.backup",
        "another place than `storage`",
    ),
    Mistake(
        "a directory of no claim", {"storage": {"directory": {}}}, "spec.storage.directory.claimName", "Required value"
    ),
    Mistake(
        "capitals in a claim's name",
        {"storage": {"directory": {"claimName": "Films"}}},
        "spec.storage.directory.claimName",
        "name of a PersistentVolumeClaim",
    ),
    *(
        Mistake(
            f"a directory's {field}", {"storage": {"directory": _CLAIM, field: value}}, "spec.storage", "nothing beside"
        )
        for field, value in (
            ("vendor", "S3"),
            ("region", "eu-north-1"),
            ("endpoint", "https://s3.example.com"),
            ("addressing", "Path"),
            ("caSecretRef", {"name": "ca", "key": "pem"}),
            ("credentials", {"secretRef": {"name": "bucket-credentials"}}),
            ("serviceAccountName", "recorder"),
            ("instanceIdentity", True),
            ("googleServiceAccount", "films@example.iam.gserviceaccount.com"),
            ("objects", {"metadata": {"a": "b"}}),
            ("livePlaylist", False),
        )
    ),
    Mistake(
        "a backup in the same directory",
        {"storage": {"directory": _CLAIM}, "backup": {"directory": _CLAIM}},
        "spec.backup",
        "must be another place than `storage`",
    ),
    Mistake("capitals in a bucket's name", {"storage.bucket": "Recordings"}, "spec.storage.bucket", "bucket's name"),
    Mistake("no credentials", {"storage.credentials": REMOVED}, "spec.storage", _OPENED),
    Mistake("a key and an identity", {"storage.serviceAccountName": "recorder"}, "spec.storage", _OPENED),
    Mistake("two identities", {**_BY_ACCOUNT, "storage.instanceIdentity": True}, "spec.storage", _OPENED),
    Mistake(
        "no instance's identity",
        {"storage.credentials": REMOVED, "storage.instanceIdentity": False},
        "spec.storage.instanceIdentity",
        "must be true, or be left out",
    ),
    Mistake(
        "an account with capitals",
        {"storage.credentials": REMOVED, "storage.serviceAccountName": "Recorder"},
        "spec.storage.serviceAccountName",
        "name of a ServiceAccount",
    ),
    Mistake(
        "an identity for a vendor that knows none",
        {**_BY_ACCOUNT, "storage.vendor": "Aliyun", "storage.region": "hangzhou"},
        "spec.storage",
        "must have `credentials` with this `vendor`",
    ),
    Mistake("two accounts", {**_BY_ACCOUNT, "pod": {"serviceAccountName": "other"}}, "spec", "must name one Service"),
    Mistake(
        "another account for the backup",
        {
            **_BY_ACCOUNT,
            "backup": {"endpoint": _PLACE["endpoint"], "bucket": "spare", "serviceAccountName": "other"},
        },
        "spec",
        "must name one ServiceAccount",
    ),
    Mistake("S3 without an endpoint", {"storage.endpoint": REMOVED}, "spec.storage", "must have `endpoint` when"),
    Mistake(
        "AWS without a region",
        {"storage.vendor": "AWS", "storage.endpoint": REMOVED},
        "spec.storage",
        "`region` or `endpoint` for AWS, Aliyun and Qiniu",
    ),
    Mistake(
        "an endpoint without a scheme",
        {"storage.endpoint": "s3.example.com"},
        "spec.storage.endpoint",
        "must be a URL with the scheme 'https' or 'http'",
    ),
    Mistake(
        "a key in an endpoint",
        {"storage.endpoint": "https://key:secret@s3.example.com"},
        "spec.storage.endpoint",
        "must not carry credentials",
    ),
    Mistake(
        "a bucket in an endpoint",
        {"storage.endpoint": "https://s3.example.com/recordings"},
        "spec.storage.endpoint",
        "use `bucket` and `prefix`",
    ),
    Mistake("a link-local endpoint", {"storage.endpoint": "http://[fe80::1]"}, "spec.storage.endpoint", "link-local"),
    Mistake(
        "a password for a proxy",
        {"storage.proxyURL": "http://user:secret@proxy.example.com:3128"},
        "spec.storage.proxyURL",
        "must not carry credentials",
    ),
    Mistake(
        "a path of a proxy",
        {"storage.proxyURL": "http://proxy.example.com/a"},
        "spec.storage.proxyURL",
        "must not have a path",
    ),
    Mistake("a proxy of another kind", {"storage.proxyURL": "socks5://p:1080"}, "spec.storage.proxyURL", "'http' or"),
    Mistake(
        "a link-local proxy", {"storage.proxyURL": "http://169.254.169.254"}, "spec.storage.proxyURL", "link-local"
    ),
    Mistake("a prefix that climbs", {"storage.prefix": "a/../b"}, "spec.storage.prefix", "names joined by '/'"),
    Mistake(
        "a prefix that begins with '/'", {"storage.prefix": "/a"}, "spec.storage.prefix", "without '/' at either end"
    ),
    Mistake("a region number beyond the table", {"storage.region": 18}, "spec.storage.region", "from 0 to 17"),
    Mistake("a region number without a table", {"storage.region": 1}, "spec.storage.region", "must be a region's name"),
    Mistake(
        "a region number beyond Qiniu's",
        {"storage.vendor": "Qiniu", "storage.region": 4},
        "spec.storage.region",
        "must be from 0 to 3 when `vendor` is 'Qiniu'",
    ),
    Mistake(
        "Google without its key",
        {"storage.vendor": "GoogleCloudStorage"},
        "spec.storage",
        "must have `credentials.serviceAccountKeySecretRef` when `vendor` is 'GoogleCloudStorage'",
    ),
    Mistake(
        "S3 with Google's key",
        {"storage.credentials": _GOOGLE["credentials"]},
        "spec.storage",
        "`credentials.secretRef`",
    ),
    Mistake(
        "two kinds of keys",
        {"storage.credentials.serviceAccountKeySecretRef": {"name": "account", "key": "key.json"}},
        "spec.storage.credentials",
        "must have exactly one of `secretRef`, `serviceAccountKeySecretRef`",
    ),
    Mistake(
        "a key and a token",
        {"storage": {**_AZURE, "credentials": {**_AZURE["credentials"], **_BY_TOKEN["credentials"]}}},
        "spec.storage.credentials",
        "`accountKeySecretRef` and `sasTokenSecretRef`",
    ),
    Mistake(
        "Azure with the keys of S3",
        {"storage": {**_AZURE, "credentials": _PLACE["credentials"]}},
        "spec.storage",
        "`credentials.sasTokenSecretRef` when it is 'AzureBlobStorage'",
    ),
    Mistake(
        "Google with Azure's key",
        {"storage": {**_GOOGLE, "credentials": _AZURE["credentials"]}},
        "spec.storage",
        "must have `credentials.serviceAccountKeySecretRef`",
    ),
    Mistake(
        "Azure without an account",
        {"storage": {name: value for name, value in _AZURE.items() if name != "account"}},
        "spec.storage",
        "must have `account` when `vendor` is 'AzureBlobStorage', and only then",
    ),
    Mistake("S3 with an account", {"storage.account": "examplefilms"}, "spec.storage", "and only then"),
    Mistake(
        "an account that is none", {"storage": {**_AZURE, "account": "Films-1"}}, "spec.storage.account", "lower-case"
    ),
    Mistake(
        "Azure with a node's identity",
        {"storage": {**_OF_AZURE, "instanceIdentity": True}},
        "spec.storage",
        "only 'AWS', 'S3' and 'GoogleCloudStorage' know a node by its identity",
    ),
    *(
        Mistake(f"{called} with a Google service account", {"storage": store}, "spec.storage.googleServiceAccount", why)
        for called, store, why in (
            ("S3", {**_PLACE_BY_ACCOUNT, **_ACTS_AS}, "must be left out unless `vendor` is 'GoogleCloudStorage'"),
            ("a key", {**_GOOGLE, **_ACTS_AS}, "and `serviceAccountName` names the ServiceAccount"),
            ("a node", {**_OF_GOOGLE, "instanceIdentity": True, **_ACTS_AS}, "and `serviceAccountName` names"),
            (
                "somebody",
                {**_OF_GOOGLE, "serviceAccountName": "recorder", "googleServiceAccount": "films@example.com"},
                "must be the e-mail address of a Google service account",
            ),
        )
    ),
    Mistake(
        "no kind of keys",
        {"storage.credentials": {}},
        "spec.storage.credentials",
        "must have exactly one of `secretRef`",
    ),
    *(
        Mistake(
            f"Google's {field}",
            {"storage": {**_GOOGLE, field: value}},
            f"spec.storage.{field}",
            "must be left out when `vendor` is 'GoogleCloudStorage'",
        )
        for field, value in (("region", "europe-west1"), ("addressing", "VirtualHosted"))
    ),
    *(
        Mistake(called, {"storage.objects": {field: value}}, f"spec.storage.objects.{path}", rule)
        for called, field, value, path, rule in (
            (
                "more metadata than S3 takes",
                "metadata",
                {"a": "x" * 1023, "b": "x" * 1024},
                "metadata",
                "must be at most 2048 bytes",
            ),
            ("capitals in metadata's names", "metadata", {"Team": "x"}, "metadata", "must have names of 1 to 128"),
            ("metadata of no header", "metadata", {"a": "会"}, "metadata", "must have values of printable ASCII"),
            ("metadata of nothing", "metadata", {"a": ""}, "metadata.a", "at least 1 chars"),
            ("eleven tags", "tags", {str(n): "x" for n in range(11)}, "tags", "must have at most 10 items"),
            ("a tag of AWS' own", "tags", {"aws:a": "x"}, "tags", "must not have keys that begin with 'aws:'"),
            ("a tag's key that S3 does not take", "tags", {"a&b": "x"}, "tags", "must have keys of 1 to 128"),
            ("a tag's value that S3 does not take", "tags", {"a": "x;y"}, "tags", "must have values of letters"),
            ("a long tag", "tags", {"a": "x" * 257}, "tags.a", "Too long"),
            ("two lines of caching", "cacheControl", "a\nb", "cacheControl", "must be printable ASCII"),
            ("a blank in a storage class", "storageClass", "STANDARD IA", "storageClass", "must be a storage class"),
            (
                "encryption by a customer's key",
                "serverSideEncryption",
                {"mode": "SSE-C"},
                "serverSideEncryption.mode",
                '"SSE-S3", "SSE-KMS"',
            ),
            (
                "a KMS key for the store's own encryption",
                "serverSideEncryption",
                {"mode": "SSE-S3", "kmsKeyId": "k"},
                "serverSideEncryption.kmsKeyId",
                "must be left out unless `mode` is 'SSE-KMS'",
            ),
            (
                "Google's key of an S3 bucket",
                "kmsKeyName",
                "projects/p/locations/l/keyRings/r/cryptoKeys/k",
                "kmsKeyName",
                "only 'GoogleCloudStorage' has it",
            ),
        )
    ),
    *(
        Mistake(
            f"metadata of Azure by the name {name}",
            {"storage": {**_AZURE, "objects": {"metadata": {"team": "a", name: "b"}}}},
            "spec.storage.objects.metadata",
            "must have names of lower-case letters, digits and '_', no digit first, with 'AzureBlobStorage'",
        )
        for name in ("cost-center", "cost.center", "1st")
    ),
    Mistake(
        "a key of Google's by its ID alone",
        {"storage": {**_GOOGLE, "objects": {"kmsKeyName": "k"}}},
        "spec.storage.objects.kmsKeyName",
        "must be a key's name",
    ),
    *(
        Mistake(
            f"{field} of {vendor}",
            {"storage": {**store, "vendor": vendor, "objects": {field: value}}},
            f"spec.storage.objects.{field}",
            "must be left out with this `vendor`",
        )
        for vendor, store, field, value in (
            *(
                (vendor, store, field, value)
                for vendor, store in (("Qiniu", _PLACE), ("Aliyun", _PLACE), ("GoogleCloudStorage", _GOOGLE))
                for field, value in (("tags", {"a": "b"}), ("serverSideEncryption", {"mode": "SSE-S3"}))
            ),
            ("Aliyun", _PLACE, "storageClass", "STANDARD_IA"),
            ("AzureBlobStorage", _AZURE, "serverSideEncryption", {"mode": "SSE-S3"}),
        )
    ),
    *(
        Mistake(
            f"Azure's {field}",
            {"storage": {**_AZURE, field: value}},
            f"spec.storage.{field}",
            "must be left out when `vendor` is 'AzureBlobStorage'",
        )
        for field, value in (("region", "westeurope"), ("addressing", "Path"))
    ),
    Mistake("an unknown vendor", {"storage.vendor": "aws"}, "spec.storage.vendor", '"Aliyun"'),
    Mistake(
        "an unknown desired state", {"desiredState": "Running"}, "spec.desiredState", '"Recording", "Paused", "Stopped"'
    ),
    Mistake(
        "a duration with a unit", {"maxDurationSeconds": "1h"}, "spec.maxDurationSeconds", "must be of type integer"
    ),
    Mistake("a duration of nothing", {"maxDurationSeconds": 0}, "spec.maxDurationSeconds", "equal to 1"),
    Mistake("a negative time to live", {"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", "equal to 0"),
    Mistake("no parts at all", {"restart.maxParts": 0}, "spec.restart.maxParts", "equal to 1"),
    Mistake(
        "two work volumes",
        {"work": {"emptyDir": {}, "persistentVolumeClaim": {"size": "1Gi"}}},
        "spec.work",
        "must have exactly one of `emptyDir` and `persistentVolumeClaim`",
    ),
    Mistake("no work volume", {"work": {}}, "spec.work", "must have exactly one of"),
    Mistake(
        "a work volume of 1 MiB", {"work": {"emptyDir": {"sizeLimit": "1Mi"}}}, "spec.work.emptyDir.sizeLimit", "'64Mi'"
    ),
    Mistake(
        "a size without meaning",
        {"work": {"emptyDir": {"sizeLimit": "big"}}},
        "spec.work.emptyDir.sizeLimit",
        "quantity",
    ),
    Mistake("an image", {"pod.image": "busybox"}, "spec.pod.image", "unknown field"),
    Mistake(
        "a label of Kubernetes' own",
        {"pod.labels": {"app.kubernetes.io/instance": "x"}},
        "spec.pod.labels",
        "must not use keys of 'kubernetes.io'",
    ),
    Mistake(
        "an annotation of our own",
        {"pod.annotations": {"cloudrecording.dev/desired": "{}"}},
        "spec.pod.annotations",
        "must not use keys of",
    ),
    Mistake(
        "a request that is no quantity",
        {"pod.resources.requests": {"memory": "lots"}},
        "spec.pod.resources.requests.memory",
        "should match",
    ),
)

_FIXED: Final = "must not change after creation; create a new recording instead"

UPDATE_MISTAKES: Final = (
    Mistake("no participants", {"channel.streams": []}, "spec.channel.streams", "at least 1 items"),
    Mistake(
        "a participant twice", {"channel.streams": [a_stream(1), a_stream(1)]}, "spec.channel.streams[1]", "Duplicate"
    ),
    Mistake("the recorder's own uid", {"channel.streams": [a_stream(1000)]}, "spec.channel.uid", "must differ"),
    Mistake("another channel", {"channel.name": "room-2"}, "spec.channel.name", _FIXED),
    Mistake("a room instead of streams", A_ROOM, "spec.channel.livekit", _FIXED),
    Mistake("another key", {"channel.decryption": _DECRYPTION}, "spec.channel.decryption", _FIXED),
    Mistake("another uid", {"channel.uid": 1001}, "spec.channel.uid", _FIXED),
    Mistake("another type", {"channel.type": "Live"}, "spec.channel.type", _FIXED),
    Mistake("an App ID that was not there", {"channel.appId": "a"}, "spec.channel.appId", _FIXED),
    Mistake("a token", {"channel.tokenSecretRef": _SECRET_REF}, "spec.channel.tokenSecretRef", _FIXED),
    Mistake("other kinds of media", {"recording.streams": "AudioOnly"}, "spec.recording.streams", _FIXED),
    Mistake("another canvas", {"recording.video.width": 640}, "spec.recording.video.width", _FIXED),
    Mistake("another fit", {"recording.video.fit": "Contain"}, "spec.recording.video.fit", _FIXED),
    Mistake("an MP4, too", {"recording.outputs": ["HLS", "MP4"]}, "spec.recording.outputs", _FIXED),
    Mistake("a backup that was not there", {"backup": _BACKUP}, "spec.backup", _FIXED),
    Mistake("passing through", {"recording.video.passthrough": {}}, "spec.recording.video.passthrough", _FIXED),
    Mistake("another time to come", {"recording.maxWaitSeconds": 60}, "spec.recording.maxWaitSeconds", _FIXED),
    Mistake("another slice length", {"recording.sliceSeconds": 10}, "spec.recording.sliceSeconds", _FIXED),
    Mistake("a directory", {"storage": {"directory": _CLAIM}}, "spec.storage.directory", _FIXED),
    Mistake("a reference", {"storage": {"ref": _REF}}, "spec.storage.ref", _FIXED),
    Mistake("another vendor", {"storage.vendor": "AWS"}, "spec.storage.vendor", _FIXED),
    Mistake("a prefix that was not there", {"storage.prefix": "a"}, "spec.storage.prefix", _FIXED),
    Mistake(
        "another Secret", {"storage.credentials.secretRef.name": "other"}, "spec.storage.credentials.secretRef", _FIXED
    ),
    Mistake("tags that were not there", {"storage.objects": {"tags": {"a": "b"}}}, "spec.storage.objects", _FIXED),
    Mistake("no live playlist any more", {"storage.livePlaylist": False}, "spec.storage.livePlaylist", _FIXED),
    Mistake("an account for the key", _BY_ACCOUNT, "spec.storage.serviceAccountName", _FIXED),
    Mistake("another work volume", {"work": {"persistentVolumeClaim": {"size": "1Gi"}}}, "spec.work", _FIXED),
    Mistake("another engine", {"engine.name": "other"}, "spec.engine.name", _FIXED),
    Mistake("pod options that were not there", {"pod": {"labels": {"a": "b"}}}, "spec.pod", _FIXED),
)
"""Changes to a recording that exists, which it must not take."""

STORED_MISTAKES: Final = (
    Mistake("another bucket", {"storage.bucket": "elsewhere"}, "spec.storage.bucket", "once a slice is in the store"),
    Mistake(
        "another endpoint",
        {"storage.endpoint": "https://b.example.com"},
        "spec.storage.endpoint",
        "once a slice is in the store",
    ),
    Mistake(
        "a region that was not there",
        {"storage.region": "eu-north-1"},
        "spec.storage.region",
        "once a slice is in the store",
    ),
)
"""Changes that a recording takes until its first slice is verified, and not afterwards."""

ALLOWED_UPDATES: Final[Mapping[str, Mapping[str, object]]] = {
    "pause": {"desiredState": "Paused"},
    "stop": {"desiredState": "Stopped"},
    "another layout": {"recording.video.layout": "BestFit"},
    "another large participant": {"recording.video": {"layout": "Vertical", "maxResolutionUid": 2}},
    "other participants": {"channel.streams": [a_stream(2), a_stream(3)]},
    "a proxy on the way to the bucket": {"storage.proxyURL": "http://proxy.example.com:3128"},
    "a participant elsewhere": {"channel.streams.0.url": "rtmp://other.example.com/a"},
    "a limit that was not there": {"maxDurationSeconds": 60},
    "a time to live that was not there": {"ttlSecondsAfterFinished": 0},
    "another restart policy": {"restart": {"policy": "Never", "maxParts": 3}},
    **{mistake.called: mistake.changes for mistake in STORED_MISTAKES},
    "other deadlines": {"uploadGraceSeconds": 0, "deletionDeadlineSeconds": 0},
}

VALID: Final[Mapping[str, Mapping[str, object]]] = {
    "the least": {},
    "a reference": {"storage": {"ref": _REF}},
    "a reference, and another as backup": {"storage": {"ref": _REF}, "backup": {"ref": {"name": "spare"}}},
    "a reference beside a backup": {"storage": {"ref": _REF}, "backup": _BACKUP},
    "a reference as backup, after a while": {"backup": {"ref": _REF, "afterSeconds": 5}},
    "a channel name in any script": {"channel.name": "会议 №1 / 🎥?#%"},
    "the largest uid": {"channel.uid": 2**32 - 1},
    "seventeen participants": {"channel.streams": [a_stream(uid) for uid in range(1, 18)]},
    "parameters that only look like secrets": {
        "channel.streams.0.url": "srt://a.example.com:9000?streamid=live:stage&pbkeylen=16&latency=200&author=me&design=1"
    },
    "an access control of SRT without a password": {
        "channel.streams.0.url": "srt://a.example.com:9000?streamid=#!::r=stage,m=request,u=me"
    },
    "a multicast group": {"channel.streams.0.url": "udp://@239.0.0.1:1234"},
    "a URL from a Secret": {"channel.streams": [{"uid": 1, "urlSecretRef": _SECRET_REF}]},
    "what a server asks for": {
        "channel.streams": [
            {
                "uid": 1,
                "url": "https://a.example.com/a.m3u8",
                "headers": [
                    {"name": "Referer", "value": "https://b.example.com/"},
                    {"name": "Authorization", "valueSecretRef": _SECRET_REF},
                ],
                "caSecretRef": _SECRET_REF,
            },
            {"uid": 2, "url": "rtsps://cam.example.com/1", "certificateSha256": ":".join(["Ab"] * 32)},
        ]
    },
    "a room": A_ROOM,
    "a room that is encrypted end to end": {**A_ROOM, "channel.decryption": _DECRYPTION},
    "a room by all that can be said of it": {
        **A_ROOM,
        "channel.livekit": {
            **_ROOM,
            "apiKeySecretRef": {
                "name": "livekit",
                "apiKeyKey": "LIVEKIT_API_KEY",
                "apiSecretKey": "LIVEKIT_API_SECRET",
            },
            "room": "会" * 85,
            "identity": "recorder 1",
            "hidden": False,
            "participants": {"include": ["alice", "会" * 85], "exclude": ["bob"]},
            "sources": ["Camera", "Microphone", "ScreenShare", "ScreenShareAudio"],
        },
    },
    "the sound of a room's cameras and microphones": {
        **A_ROOM,
        "channel.livekit.sources": ["Camera", "Microphone"],
        "recording.streams": "AudioOnly",
    },
    "a room that a token lets into": {
        **A_ROOM,
        "channel.livekit": {"url": "http://livekit.media.svc:7880"},
        "channel.tokenSecretRef": _SECRET_REF,
    },
    "somebody large in a room": {**A_ROOM, "recording.video": {"layout": "Vertical", "maxResolutionUid": 77}},
    "somebody large by identity": {
        **A_ROOM,
        "recording.video": {"layout": "Vertical", "maxResolutionIdentity": "alice/screen"},
    },
    "a room's screens large": {**A_ROOM, "recording.video": {"layout": "Vertical"}},
    "1080p upright": {"recording.video": {"width": 1080, "height": 1920}},
    "1080p across": {"recording.video": {"width": 1920, "height": 1080}},
    "Vertical": {"recording.video": {"layout": "Vertical", "maxResolutionUid": 1}},
    "an MP4 beside the slices": {"recording.outputs": ["HLS", "MP4"]},
    "a backup": {"backup": {**_BACKUP, "afterSeconds": 0}},
    "a backup in the same bucket": {"backup": {**_PLACE, "prefix": "spare"}},
    "one stream as it is": {"channel.streams": [a_stream(1)], "recording.video.passthrough": {}},
    "one stream as it is, with rare key frames": {
        "channel.streams": [a_stream(1)],
        "recording": {"sliceSeconds": 30, "video": {"passthrough": {"longestSliceSeconds": 120}}},
    },
    "AWS by the SDK's number": {"storage.vendor": "AWS", "storage.region": 7, "storage.endpoint": REMOVED},
    "Aliyun by name": {"storage.vendor": "Aliyun", "storage.region": "hangzhou", "storage.endpoint": REMOVED},
    "a region with S3": {"storage.region": "eu-north-1"},
    "a bucket in which nothing is replaced": {
        "storage.livePlaylist": False,
        "backup": {**_BACKUP, "livePlaylist": False},
    },
    "all that objects of S3 get": {
        "storage.objects": {
            "metadata": {"team": "films & series", "cost.center_1-a": "x" * 2000},
            "tags": {**{f"key {n}": "a/b:c=d@e" for n in range(9)}, "empty": ""},
            "cacheControl": "public, max-age=31536000, immutable",
            "storageClass": "STANDARD_IA",
            "serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": "arn:aws:kms:eu-central-1:111122223333:key/k"},
        }
    },
    "what objects of the others get": {
        "storage": {**_PLACE, "vendor": "Aliyun", "objects": {"metadata": {"a": "b"}, "cacheControl": "no-store"}},
        "backup": {
            **_GOOGLE,
            "objects": {
                "storageClass": "NEARLINE",
                "kmsKeyName": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
            },
        },
    },
    "what objects of Azure get": {
        "storage": {**_AZURE, "objects": {"metadata": {"team": "films", "_cost_center1": "x"}, "storageClass": "Cool"}}
    },
    "a key with a session token": {"storage.credentials.secretRef.sessionTokenKey": "token"},
    "an identity": {**_BY_ACCOUNT, "pod": {"serviceAccountName": "recorder"}},
    "the node's identity": {"storage.credentials": REMOVED, "storage.instanceIdentity": True},
    "an identity for the backup": {
        "backup": {"endpoint": _PLACE["endpoint"], "bucket": "spare", "serviceAccountName": "recorder"}
    },
    "a bucket of Google's": {"storage": {**_GOOGLE, "prefix": "a/b"}},
    "a bucket of Google's at an endpoint": {"storage": {**_GOOGLE, "endpoint": "https://gcs.example.com"}},
    "a bucket of Google's by an identity": {"storage": {**_OF_GOOGLE, "serviceAccountName": "recorder"}},
    "a bucket of Google's by whom an identity acts as": {
        "storage": {**_OF_GOOGLE, "serviceAccountName": "recorder", **_ACTS_AS}
    },
    "a bucket of Google's by the node's identity": {"storage": {**_OF_GOOGLE, "instanceIdentity": True}},
    "a backup of Google's": {"backup": {**_GOOGLE, "bucket": "spare"}},
    "a container of Azure's": {
        "storage": {**_AZURE, "prefix": "a/b", "objects": {"storageClass": "Cool", "tags": {"a": "b"}}}
    },
    "a container of Azure's at an endpoint, by a token": {
        "storage": {**_AZURE, **_BY_TOKEN, "endpoint": "https://examplefilms.blob.core.chinacloudapi.cn"}
    },
    "a container of Azure's by an identity": {"storage": {**_OF_AZURE, "serviceAccountName": "recorder"}},
    "a backup in another account": {"storage": _AZURE, "backup": {**_AZURE, "account": "sparefilms"}},
    "a directory": {"storage": {"directory": _CLAIM, "prefix": "a/b"}},
    "a backup in another directory of the claim": {
        "storage": {"directory": _CLAIM},
        "backup": {"directory": _CLAIM, "prefix": "spare"},
    },
    "a claim": {"work": {"persistentVolumeClaim": {"size": "1Gi", "storageClassName": "fast"}}},
    "numbers as quantities": {"pod.resources": {"requests": {"cpu": 1, "memory": "256Mi"}}},
    "an affinity": {
        "pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
        ]
    },
}


_FIXED_OF_STORAGE: Final = "create another RecordingStorage instead"

STORAGE_MISTAKES: Final = (
    Mistake("no store", {"bucket": REMOVED}, "spec", "must have exactly one of `bucket` and `directory`"),
    Mistake("a bucket and a directory", {"directory": _CLAIM}, "spec", "exactly one of `bucket` and `directory`"),
    Mistake("a reference to another", {"ref": _REF}, "spec.ref", "unknown field"),
    Mistake("no keys", {"credentials": REMOVED}, "spec", _OPENED),
    Mistake("keys and an identity", {"instanceIdentity": True}, "spec", _OPENED),
    Mistake("no endpoint", {"endpoint": REMOVED}, "spec", "must have `endpoint`"),
    Mistake("a way to the metadata service", {"endpoint": "http://169.254.169.254"}, "spec.endpoint", "link-local"),
)
"""Wrong RecordingStorages."""

STORAGE_UPDATE_MISTAKES: Final = (
    Mistake("another bucket", {"bucket": "elsewhere"}, "spec.bucket", _FIXED_OF_STORAGE),
    Mistake("another prefix", {"prefix": "2027"}, "spec.prefix", _FIXED_OF_STORAGE),
    Mistake("no prefix", {"prefix": REMOVED}, "spec.prefix", _FIXED_OF_STORAGE),
    Mistake("a vendor", {"vendor": "AWS", "region": "eu-north-1"}, "spec.vendor", _FIXED_OF_STORAGE),
)
"""Changes to a RecordingStorage that exists, which it must not take."""

ALLOWED_STORAGE_UPDATES: Final[Mapping[str, Mapping[str, object]]] = {
    "another endpoint": {"endpoint": "https://s3.example.org"},
    "a region": {"region": "eu-north-1"},
    "another Secret": {"credentials.secretRef.name": "other"},
    "a proxy": {"proxyURL": "https://proxy.example.com"},
    "authorities": {"caSecretRef": {"name": "authorities", "key": "ca.crt"}},
    "another addressing": {"addressing": "VirtualHosted"},
    "what objects get": {"objects": {"tags": {"retention": "90d"}}},
    "a bucket in which nothing is replaced from now on": {"livePlaylist": False},
    "an identity for the keys": {"credentials": REMOVED, "serviceAccountName": "recorder"},
    "the node's identity for the keys": {"credentials": REMOVED, "instanceIdentity": True},
}
