# SPDX-License-Identifier: Apache-2.0
"""What an administrator forbids is named by its field before there is a pod, and nothing else is."""

from typing import Any

import pytest

from cloud_recording.domain.admission import denial
from tests.unit.domain.builders import SETTINGS, a_recording

KEYS = {"secretRef": {"name": "team-a-bucket"}}
OWN = {"endpoint": "https://s3.example.com", "bucket": "recordings", "credentials": KEYS}
BY_ACCOUNT = {"endpoint": "https://s3.example.com", "bucket": "films", "serviceAccountName": "films"}
GOOGLE = "films@example.iam.gserviceaccount.com"
BY_GOOGLE = {
    "vendor": "GoogleCloudStorage",
    "bucket": "films",
    "serviceAccountName": "films",
    "googleServiceAccount": GOOGLE,
}
BY_NODE = {"endpoint": "https://s3.example.com", "bucket": "films", "instanceIdentity": True}
DIRECTORY = {"directory": {"claimName": "films-a"}}
ROOM = {
    "name": "room-1",
    "uid": 1000,
    "livekit": {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}},
}
STREAM = {"uid": 1, "url": "rtmp://media.example.com/live/alice"}


@pytest.mark.parametrize(
    ("allowed", "spec", "named"),
    [
        ({}, {}, None),
        ({"endpoints": ("*.example.com",)}, {"storage": OWN}, None),
        ({"endpoints": ("s3.example.org",)}, {"storage": OWN}, "must not lead to 's3.example.com'"),
        (
            {"endpoints": ("*.example.com",)},
            {"storage": {"vendor": "AWS", "region": "eu-west-3", "bucket": "mine", "credentials": KEYS}},
            "must not lead to 's3.eu-west-3.amazonaws.com'",
        ),
        (
            {"endpoints": ("*.aliyuncs.com",)},
            {"storage": {"vendor": "Aliyun", "region": "beijing", "bucket": "mine", "credentials": KEYS}},
            None,
        ),
        (
            {"endpoints": ("s3.example.com",)},
            {"storage": OWN, "backup": {**OWN, "endpoint": "https://s3.example.org"}},
            "`spec.backup` must not lead to 's3.example.org'",
        ),
        (
            {"secrets": ("team-a-*",)},
            {"storage": OWN, "backup": {**OWN, "bucket": "spare", "credentials": {"secretRef": {"name": "b"}}}},
            "must not name the Secret 'b'",
        ),
        ({"endpoints": (), "secrets": (), "claims": ("films-*",)}, {"storage": DIRECTORY}, None),
        (
            {"claims": ("team-a-*",)},
            {"storage": DIRECTORY},
            "`spec.storage.directory` must not be on the claim 'films-a': the administrator does not allow it",
        ),
        (
            {"claims": ("team-a",)},
            {"storage": OWN, "backup": DIRECTORY},
            "`spec.backup.directory` must not be on the claim 'films-a'",
        ),
        (
            {},
            {"storage": BY_ACCOUNT},
            "`spec.storage.serviceAccountName` must not be 'films': the administrator does not allow it",
        ),
        ({"service_accounts": ("films",), "secrets": ()}, {"storage": BY_ACCOUNT}, None),
        ({"service_accounts": ("film",)}, {"storage": OWN, "backup": BY_ACCOUNT}, "`spec.backup.serviceAccountName`"),
        (
            {"service_accounts": ("films",)},
            {"storage": BY_NODE},
            "`spec.storage.instanceIdentity` must not be used: the administrator does not allow it",
        ),
        ({"instance_identity": True, "secrets": ()}, {"storage": BY_NODE}, None),
        (
            {"service_accounts": ("films",)},
            {"storage": BY_GOOGLE},
            f"`spec.storage.googleServiceAccount` must not be '{GOOGLE}': the administrator does not allow it",
        ),
        ({"service_accounts": ("films", GOOGLE), "secrets": ()}, {"storage": BY_GOOGLE}, None),
        ({"secrets": ("team-a-*",)}, {"storage": OWN}, None),
        ({"secrets": ("recording-*",)}, {"storage": OWN}, "must not name the Secret 'team-a-bucket'"),
        (
            {"secrets": ("team-a-*",)},
            {
                "storage": OWN,
                "channel": {
                    "name": "room-1",
                    "uid": 1000,
                    "streams": [{"uid": 1, "urlSecretRef": {"name": "database", "key": "password"}}],
                },
            },
            "must not name the Secret 'database'",
        ),
        (
            {"stream_hosts": ("10.0.0.0/8", "*.media.internal")},
            {"channel": {"name": "room-1", "uid": 1000, "streams": [STREAM]}},
            "`spec.channel.streams[0].url` must not lead to 'media.example.com'",
        ),
        (
            {"stream_hosts": ("*.media.internal",)},
            {"channel": ROOM},
            "`spec.channel.livekit.url` must not lead to 'livekit.example.com'",
        ),
        ({"stream_hosts": ("*.example.com",)}, {"channel": ROOM}, None),
        ({"protocols": ("rtmps", "https")}, {"channel": ROOM}, "`spec.channel.livekit.url` must not use 'wss'"),
        ({"secrets": ("recording-*", "bucket-credentials")}, {"channel": ROOM}, "must not name the Secret 'livekit'"),
        (
            {},
            {"channel": {**ROOM, "livekit": {"url": "wss://[livekit"}}},
            "`spec.channel.livekit.url` must be a URL: its host cannot be read",
        ),
        (
            {"stream_hosts": ("media.example.com",)},
            {"channel": {"name": "room-1", "uid": 1000, "streams": [STREAM]}},
            None,
        ),
    ],
)
def test_destinations_and_secrets_are_the_administrators_to_allow(
    allowed: dict[str, Any], spec: dict[str, Any], named: str | None
) -> None:
    settings = SETTINGS.model_copy(update={"allowed": SETTINGS.allowed.model_copy(update=allowed)})
    said = denial(a_recording().spec(**spec).build().spec, settings)
    assert said is None if named is None else said is not None and named in said
