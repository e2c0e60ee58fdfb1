# SPDX-License-Identifier: Apache-2.0
"""The names and labels of what the operator makes; annotations that the runner reads as well are the wire's.

Names of objects are deterministic, so that making one twice makes it once.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from cloud_recording.api.base import GROUP
from cloud_recording.api.storage import StorageVendor, Store

NAME_LENGTH: Final = 63
"""A pod's name is its host name too, and that is a DNS label."""

_HASH_LENGTH: Final = 8
_HASH_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own alphabet for generated names: no vowels, so no words, and nothing that looks like another."""

MANAGED_BY: Final = "cloud-recording"
COMPONENT: Final = "recorder"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_RECORDING: Final = f"{GROUP}/recording"
LABEL_RECORDING_UID: Final = f"{GROUP}/recording-uid"
LABEL_PART: Final = f"{GROUP}/part"
LABEL_STORAGE: Final = f"{GROUP}/storage"
LABEL_BUCKET: Final = f"{GROUP}/bucket"
"""Of recordings and their pods, where several replicas decide: each watches those of its own."""
LABEL_POD_IDENTITY: Final = f"{GROUP}/pod-identity"
LABEL_INSTANCE_IDENTITY: Final = f"{GROUP}/instance-identity"
LABEL_GOOGLE_IDENTITY: Final = f"{GROUP}/google-identity"
"""Of pods that open a bucket by the identity of their ServiceAccount, or of their node: policies let these alone reach
the link-local addresses where keys are given out. GKE's metadata server has the address of the node's own, so that
those that need it have a label of their own."""
LABEL_AZURE_IDENTITY: Final = "azure.workload.identity/use"
"""By which Azure's webhook knows the pods that it gives an identity."""

POD_SELECTOR: Final = f"{LABEL_RECORDING_UID},{LABEL_PART}"
"""Pods with both of these labels: a policy that writes labels of others' domains takes no pod from our sight. A probe's
pod has them, too, with the RecordingStorage's UID, as a watch has one selector."""

TEMPLATE_SELECTOR: Final = f"{LABEL_RECORDING_UID},!{LABEL_PART}"
RECORDING_NAME_ANNOTATION: Final = f"{GROUP}/recording-name"
"""The recording's name, whole: a label holds no more than 63 characters of it."""

STORAGE_NAME_ANNOTATION: Final = f"{GROUP}/storage-name"
"""The same of the RecordingStorage that a probe's pod was made for."""

STORAGE_GENERATION_ANNOTATION: Final = f"{GROUP}/storage-generation"
"""Which generation of its spec the probe was made of."""

FREED_ANNOTATION: Final = f"{GROUP}/freed"
"""Of a RecordingStorage that is deleted: when the recordings of some replica last let go of it."""

LABEL_LENGTH: Final = 63

POD_DOCUMENTS_PATH: Final = "/etc/cloud-recording/pod"
SECRETS_PATH: Final = "/etc/cloud-recording/secrets"
TOKEN_PATH: Final = f"/var/run/secrets/{GROUP}"
WORK_PATH: Final = "/var/lib/cloud-recording"
STORAGE_PATH: Final = "/mnt/storage"
BACKUP_PATH: Final = "/mnt/backup"
"""Where a directory of `storage`, or of `backup`, is mounted."""

RECORDER_CONTAINER: Final = "recorder"
PROBE_PORT: Final = 8080


def recording_id(uid: str) -> str:
    """The recording's id, which is the `sid` of its files: the resource's UID, so that it is known before any pod."""
    return uid.replace("-", "").lower()


def pod_name(*, recording: str, uid: str, part: int, rescue: int = 0) -> str:
    """The name of a part's pod: told by its recording's, and unlike that of any other recording, part or rescue.

    The hash is always there. Without it, two recordings of one name, one after the other, would share a pod name
    while the first one's pod still uploads; and the recording `a-p1` could get in the way of part 1 of `a`.
    """
    rescuing = f"-r{rescue}" if rescue else ""
    return _hashed(recording, suffix=f"-{_short_hash(f'{uid}/{part}')}-p{part}{rescuing}")


def claim_name(*, recording: str, uid: str, part: int) -> str:
    """The name of a part's claim, whichever pod mounts it: that of the part's first pod."""
    return pod_name(recording=recording, uid=uid, part=part)


def merge_pod_name(*, recording: str, uid: str, number: int) -> str:
    """The name of the n-th pod that makes one playlist over a recording's parts."""
    return _hashed(recording, suffix=f"-{_short_hash(f'{uid}/merge')}-m{number}")


def merge_pod_labels(*, recording: str, uid: str) -> dict[str, str]:
    """The labels of such a pod: those of the recording's other pods, by which policies of networks and admission go."""
    return {**recording_labels(recording=recording, uid=uid), LABEL_PART: "merge"}


def probe_pod_name(*, storage: str, uid: str) -> str:
    """The name of the pod that tries a RecordingStorage; there is one at a time."""
    return _hashed(storage, suffix=f"-{_short_hash(f'{uid}/probe')}-probe")


def probe_pod_labels(*, storage: str, uid: str) -> dict[str, str]:
    """The labels of a probe's pod: those of recordings' pods, by which policies of networks and admission go."""
    return {
        LABEL_NAME: MANAGED_BY,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: COMPONENT,
        LABEL_RECORDING_UID: uid,
        LABEL_PART: "probe",
        LABEL_STORAGE: label_value(storage),
    }


def identity_labels(*stores: Store | None) -> dict[str, str]:
    """The labels of a pod by the identities that open its stores."""
    of_pods = [store.vendor for store in stores if store and store.service_account_name]
    labels = {
        LABEL_POD_IDENTITY: bool(of_pods),
        LABEL_INSTANCE_IDENTITY: any(store and store.instance_identity for store in stores),
        LABEL_GOOGLE_IDENTITY: StorageVendor.GOOGLE_CLOUD_STORAGE in of_pods,
        LABEL_AZURE_IDENTITY: StorageVendor.AZURE_BLOB_STORAGE in of_pods,
    }
    return {name: "true" for name, wanted in labels.items() if wanted}


def template_name(*, recording: str, uid: str) -> str:
    """The name of the PodTemplate that the recording's pods and claims belong to."""
    return _hashed(recording, suffix=f"-{_short_hash(uid)}")


def file_prefix(part: int) -> str:
    """What a part's files are prefixed with: nothing for the first, `bak<n>_` for the n-th after a failover."""
    return "" if part == 0 else f"bak{part - 1}_"


def recording_labels(*, recording: str, uid: str) -> dict[str, str]:
    """The labels of everything that is made for a recording."""
    return {
        LABEL_NAME: MANAGED_BY,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: COMPONENT,
        LABEL_RECORDING: label_value(recording),
        LABEL_RECORDING_UID: uid,
    }


def pod_labels(*, recording: str, uid: str, part: int) -> dict[str, str]:
    """The labels by which a recording's pods are found, and by which people find them."""
    return {**recording_labels(recording=recording, uid=uid), LABEL_PART: str(part)}


def label_value(recording: str) -> str:
    """The recording's name as the value of a label: whole where it fits, else cut, with a hash of the whole."""
    if len(recording) <= LABEL_LENGTH:
        return recording
    return _hashed(recording, suffix=f"-{_short_hash(recording)}")


def _hashed(recording: str, *, suffix: str) -> str:
    stem = re.sub(r"[^a-z0-9-]+", "-", recording.lower())[: NAME_LENGTH - len(suffix)].strip("-")
    return (stem or "r") + suffix


def _short_hash(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = []
    for _ in range(_HASH_LENGTH):
        number, index = divmod(number, len(_HASH_ALPHABET))
        letters.append(_HASH_ALPHABET[index])
    return "".join(letters)
