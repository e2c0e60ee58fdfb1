# SPDX-License-Identifier: Apache-2.0
"""The pod, whole, as golden YAML: a change of any field of it is seen, and meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_recording.api.recording import CloudRecording
from cloud_recording.domain.names import BACKUP_PATH, STORAGE_PATH
from cloud_recording.domain.pod_builder import build_claim, build_pod, build_template
from cloud_recording.domain.pod_documents import desired_state_document, recording_document
from tests.unit.domain.builders import CA, NOW, SETTINGS, a_part, a_recording

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "CLOUD_RECORDING_UPDATE_GOLDEN"
TEMPLATE = {"metadata": {"name": "stand-up-template", "uid": "99999999-0000-0000-0000-000000000000"}}

RECORDINGS = {
    "minimal": (a_recording().build(), 0),
    "passed-through": (
        a_recording().spec(recording={"video": {"passthrough": {"longestSliceSeconds": 30}}}).build(),
        0,
    ),
    "room": (
        a_recording()
        .spec(
            channel={
                "name": "stand-up",
                "uid": 1000,
                "livekit": {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}},
            }
        )
        .build(),
        0,
    ),
    "directories": (
        a_recording()
        .spec(
            storage={"directory": {"claimName": "films"}, "prefix": "a"},
            backup={"directory": {"claimName": "spare"}},
        )
        .build(),
        0,
    ),
    "identities": (
        a_recording()
        .spec(
            storage={
                "vendor": "AWS",
                "region": "eu-central-1",
                "bucket": "films",
                "serviceAccountName": "films-recorder",
            },
            backup={"vendor": "AWS", "region": "eu-west-1", "bucket": "spare", "instanceIdentity": True},
        )
        .build(),
        0,
    ),
    "every-option": (
        a_recording()
        .spec(
            channel={
                "name": "room 1",
                "uid": 1000,
                "appIdSecretRef": {"name": "agora", "key": "app-id"},
                "tokenSecretRef": {"name": "agora", "key": "token"},
                "streams": [
                    {"uid": 1, "urlSecretRef": {"name": "streams", "key": "alice"}, "name": "alice"},
                    {"uid": 2, "urlSecretRef": {"name": "streams", "key": "bob"}, "name": "bob"},
                ],
            },
            backup={
                "vendor": "AWS",
                "region": "eu-central-1",
                "bucket": "spare",
                "credentials": {"secretRef": {"name": "spare"}},
            },
            maxDurationSeconds=3600,
            uploadGraceSeconds=60,
            work={"persistentVolumeClaim": {"storageClassName": "fast", "size": "8Gi"}},
            pod={
                "labels": {"team": "blue"},
                "annotations": {"example.com/note": "kept"},
                "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
                "nodeSelector": {"pool": "media"},
                "tolerations": [{"key": "media", "operator": "Exists"}],
                "affinity": {
                    "podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                        ]
                    }
                },
                "priorityClassName": "media",
                "serviceAccountName": "recorder",
            },
        )
        .build(),
        2,
    ),
}


def built(recording: CloudRecording, number: int) -> dict[str, Any]:
    part = a_part(number, pod_uid=None)
    return build_pod(
        recording,
        part,
        template=TEMPLATE,
        document=recording_document(recording, part, SETTINGS),
        desired=desired_state_document(recording, recording.status, part, now=NOW, settings=SETTINGS),
        callback_ca=CA,
        settings=SETTINGS,
    )


@pytest.mark.parametrize("name", RECORDINGS)
def test_pod_is_the_golden_one(name: str) -> None:
    recording, number = RECORDINGS[name]
    documents = [built(recording, number)]
    claim = build_claim(recording, a_part(number), template=TEMPLATE)
    documents += [claim] if claim else []
    documents.append(build_template(recording, SETTINGS))
    text = yaml.safe_dump_all(documents, sort_keys=True, width=120, allow_unicode=True)
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get(UPDATE):
        golden.write_text("# SPDX-License-Identifier: Apache-2.0\n" + text)
    assert list(yaml.safe_load_all(golden.read_text())) == documents, f"{UPDATE}=1 writes the golden file anew"


def test_a_claim_that_is_both_stores_is_one_volume() -> None:
    films = {"directory": {"claimName": "films"}}
    pod = built(a_recording().spec(storage=films, backup={**films, "prefix": "spare"}).build(), 0)
    claims = [volume["name"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == ["storage"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert (mounts[STORAGE_PATH], mounts[BACKUP_PATH]) == ("storage", "storage")


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_secret_is_in_the_environment_and_every_one_may_be_missing(name: str) -> None:
    pod = built(*RECORDINGS[name])
    container = pod["spec"]["containers"][0]
    assert not any("secretKeyRef" in str(variable) for variable in container["env"])
    assert "envFrom" not in container
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert all(source["secret"]["optional"] for source in volumes["secrets"]["projected"]["sources"])


@pytest.mark.parametrize(
    ("given", "administrator", "expected"),
    [
        pytest.param(
            {},
            {},
            {"requests": {"cpu": "421m", "memory": "208Mi"}, "limits": {"memory": "416Mi"}},
            id="the-table-alone",
        ),
        pytest.param(
            {"limits": {"memory": "128Mi"}},
            {},
            {"requests": {"cpu": "421m"}, "limits": {"memory": "128Mi"}},
            id="a-limit-below-the-table-takes-its-request-away",
        ),
        pytest.param(
            {"requests": {"memory": "1Gi"}},
            {},
            {"requests": {"cpu": "421m", "memory": "1Gi"}},
            id="a-request-above-the-table-takes-its-limit-away",
        ),
        pytest.param(
            {"requests": {"cpu": "2"}},
            {"requests": {"cpu": "1", "memory": "500Mi"}, "limits": {"memory": "500Mi"}},
            {"requests": {"cpu": "2", "memory": "500Mi"}, "limits": {"memory": "500Mi"}},
            id="the-recording-before-the-administrator-before-the-table",
        ),
    ],
)
def test_resources_never_contradict_themselves(
    given: dict[str, Any], administrator: dict[str, Any], expected: dict[str, Any]
) -> None:
    recording = a_recording().spec(pod={"resources": given}).build()
    runner = SETTINGS.runner.model_copy(
        update={"resources": type(SETTINGS.runner.resources).model_validate(administrator)}
    )
    settings = SETTINGS.model_copy(update={"runner": runner})
    part = a_part(pod_uid=None)
    pod = build_pod(
        recording,
        part,
        template=TEMPLATE,
        document=recording_document(recording, part, settings),
        desired=desired_state_document(recording, recording.status, part, now=NOW, settings=SETTINGS),
        callback_ca=CA,
        settings=settings,
    )
    resources = pod["spec"]["containers"][0]["resources"]
    disk = {kind: resources[kind].pop("ephemeral-storage") for kind in ("requests", "limits")}
    assert {kind: figures for kind, figures in resources.items() if figures} == expected
    assert disk == {"requests": "2176Mi", "limits": "2176Mi"}, "the volume's limit, the log's and the temporary files'"
