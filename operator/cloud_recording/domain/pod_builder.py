# SPDX-License-Identifier: Apache-2.0
"""The pod of a part, built from the recording and the administrator's settings: one literal, top to bottom.

It meets the `restricted` Pod Security Standard, holds no service-account token but the one for callbacks, and sees
Secrets only as files that may be missing: the recorder says which, and goes on when they appear.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from cloud_recording.api.base import API_VERSION
from cloud_recording.api.needed_secrets import needed_keys
from cloud_recording.api.pod_options import PodOptions, Resources
from cloud_recording.api.recording import DURABLE_FINALIZER, KIND, CloudRecording, CloudRecordingSpec
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Part
from cloud_recording.api.wire import (
    CALLBACK_AUDIENCE,
    CALLBACK_CA_ANNOTATION,
    DESIRED_ANNOTATION,
    RECORDING_ANNOTATION,
    SUMMARY_FINALIZER,
    DesiredState,
    RecordingDocument,
)
from cloud_recording.common.json_types import Json
from cloud_recording.common.probe_periods import LIVENESS_PERIOD_SECONDS, READINESS_PERIOD_SECONDS
from cloud_recording.domain import names
from cloud_recording.domain.pod_documents import compact_json
from cloud_recording.domain.shards import bucket_of
from cloud_recording.domain.sizing import TMP_MEBIBYTES, default_resources

RUN_AS: Final = 65532
"""The image's own user. Numeric, so that the kubelet can see that it is not root; the group owns the volumes."""

TOKEN_SECONDS: Final = 3600
"""The kubelet renews the file at four fifths of this; a stolen token is worth nothing after it."""

LEAST_TOLERATION_SECONDS: Final = 300
"""What Kubernetes itself gives a pod whose node is silent."""

DEFAULT_ACCOUNT: Final = "default"
"""Whom the callback token speaks for, when nobody else is named; it has no rights and gets none. What another's
identity opens a bucket with is added to the pod by the cluster, on EKS by its admission webhook."""

START_LIMIT_SECONDS: Final = 120
FIRST_PROBE_SECONDS: Final = 5
"""A runner answers after about a second of a processor: asked sooner, healthy recordings on a busy node would have a
Warning."""
UNREADY_AFTER: Final = 3
"""Failed probes until the recorder counts as standing still: a few seconds, as `Recording` follows from it."""

UNHEALTHY_AFTER: Final = 15

SIGNAL_DELAY_SECONDS: Final = 1
"""A pod that is told to end as it begins is sent its only signal some milliseconds after its container's start, and its
first process loses what comes before the image's entry point has blocked it."""

_POD_SECURITY: Final[Json] = {
    "runAsNonRoot": True,
    "runAsUser": RUN_AS,
    "runAsGroup": RUN_AS,
    "fsGroup": RUN_AS,
    # A volume of gigabytes must not be walked through at each start of a pod.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

DO_NOT_DISTURB: Final = {
    "argocd.argoproj.io/ignore-restart-policy": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
    "kubectl.kubernetes.io/default-container": names.RECORDER_CONTAINER,
}
"""A recording cannot be moved without a gap, so those who tidy nodes are asked to wait for its end."""


def build_pod(
    recording: CloudRecording,
    part: Part,
    *,
    template: Json,
    document: RecordingDocument,
    desired: DesiredState,
    callback_ca: str,
    settings: OperatorSettings,
) -> Json:
    """The pod that makes this part. `template` is the recording's PodTemplate as the API server has it."""
    spec, options = recording.spec, recording.spec.pod or PodOptions()
    runner = settings.runner
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": part.pod,
            "namespace": recording.metadata.namespace,
            "labels": {
                **runner.pod_labels,
                **options.labels,
                **_labels(recording, part),
                **_bucket_label(recording, settings),
                **names.identity_labels(spec.storage, spec.backup),
            },
            "annotations": {
                **runner.pod_annotations,
                **options.annotations,
                **DO_NOT_DISTURB,
                names.RECORDING_NAME_ANNOTATION: recording.metadata.name,
                RECORDING_ANNOTATION: compact_json(_dump(document)),
                DESIRED_ANNOTATION: compact_json(_dump(desired)),
                CALLBACK_CA_ANNOTATION: callback_ca,
            },
            "finalizers": [SUMMARY_FINALIZER],
            "ownerReferences": [_controller(template)],
        },
        "spec": {
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": _grace_seconds(spec),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "shareProcessNamespace": False,
            "serviceAccountName": next(iter(spec.service_accounts), DEFAULT_ACCOUNT),
            **_given("priorityClassName", options.priority_class_name),
            **_given("nodeSelector", dict(options.node_selector)),
            **_given("affinity", _dump(options.affinity) if options.affinity else None),
            "tolerations": _tolerations(options, node_lost_seconds=runner.node_lost_seconds),
            **_given("imagePullSecrets", [{"name": name} for name in runner.image_pull_secrets]),
            "securityContext": _POD_SECURITY,
            "containers": [_container(spec, options, settings=settings)],
            "volumes": [
                {"name": "work", **_work_volume(spec, claim=_claim_name(recording, part))},
                {"name": "tmp", "emptyDir": {"sizeLimit": f"{TMP_MEBIBYTES}Mi"}},
                {"name": "pod", "downwardAPI": {"items": list(_documents())}},
                {"name": "token", "projected": {"defaultMode": 0o440, "sources": [_token()]}},
                {"name": "secrets", "projected": {"defaultMode": 0o440, "sources": list(_secret_sources(spec))}},
                *_directory_volumes(spec),
            ],
        },
    }


def build_template(recording: CloudRecording, settings: OperatorSettings) -> Json:
    """The PodTemplate that the recording's pods and claims belong to.

    Pods must have a controller, or `kubectl drain` refuses to move them. While the recording is not over that must not
    be the recording: deleted in the foreground, as GitOps tools prune, the garbage collector would end the pods at
    once instead of waiting for our finalizer. So it is this object, which belongs to nobody until the recording is
    over, and to the recording from then on.
    """
    metadata = recording.metadata
    labels = names.recording_labels(recording=metadata.name, uid=metadata.uid)
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {
            "name": names.template_name(recording=metadata.name, uid=metadata.uid),
            "namespace": metadata.namespace,
            "labels": labels,
            "annotations": {names.RECORDING_NAME_ANNOTATION: metadata.name},
            "finalizers": [DURABLE_FINALIZER],
        },
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "restartPolicy": "OnFailure",
                "automountServiceAccountToken": False,
                "securityContext": _POD_SECURITY,
                "containers": [
                    {
                        "name": names.RECORDER_CONTAINER,
                        "image": settings.runner.image,
                        "args": ["runner"],
                        "securityContext": _CONTAINER_SECURITY,
                    }
                ],
            },
        },
    }


def owner_of_template(recording: CloudRecording) -> Json:
    """What makes the PodTemplate, and with it pods and claims, go with a recording that is over."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": recording.metadata.name,
        "uid": recording.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def build_claim(recording: CloudRecording, part: Part, *, template: Json) -> Json | None:
    """The claim for the part's work volume, named like its pod; None when the volume lives in the pod.

    It belongs to the recording's PodTemplate and not to the pod, so that what could not be uploaded outlives the pod.
    """
    claim = recording.spec.work.persistent_volume_claim
    # One that a rescue needs is there, or nothing is left to be rescued.
    if claim is None or part.rescues:
        return None
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": _claim_name(recording, part),
            "namespace": recording.metadata.namespace,
            "labels": _labels(recording, part),
            "annotations": {names.RECORDING_NAME_ANNOTATION: recording.metadata.name},
            "ownerReferences": [_controller(template)],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            **_given("storageClassName", claim.storage_class_name),
            "resources": {"requests": {"storage": claim.size}},
        },
    }


def _container(spec: CloudRecordingSpec, options: PodOptions, *, settings: OperatorSettings) -> Json:
    return {
        "name": names.RECORDER_CONTAINER,
        "image": settings.runner.image,
        "imagePullPolicy": settings.runner.image_pull_policy.value,
        "args": ["runner"],
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_NAMESPACE", "metadata.namespace"),
            _field("POD_UID", "metadata.uid"),
            _field("NODE_NAME", "spec.nodeName"),
            {"name": "CLOUD_RECORDING_WORK_DIR", "value": names.WORK_PATH},
        ],
        "ports": [{"name": "http", "containerPort": names.PROBE_PORT}],
        "resources": _resources(spec, options, settings=settings),
        "securityContext": _CONTAINER_SECURITY,
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "initialDelaySeconds": FIRST_PROBE_SECONDS,
            "periodSeconds": 1,
            "failureThreshold": START_LIMIT_SECONDS,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "http"},
            "periodSeconds": READINESS_PERIOD_SECONDS,
            "timeoutSeconds": READINESS_PERIOD_SECONDS,
            "failureThreshold": UNREADY_AFTER,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "periodSeconds": LIVENESS_PERIOD_SECONDS,
            "timeoutSeconds": LIVENESS_PERIOD_SECONDS,
            "failureThreshold": UNHEALTHY_AFTER,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": SIGNAL_DELAY_SECONDS}}},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "work", "mountPath": names.WORK_PATH},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
            {"name": "pod", "mountPath": names.POD_DOCUMENTS_PATH, "readOnly": True},
            {"name": "token", "mountPath": names.TOKEN_PATH, "readOnly": True},
            {"name": "secrets", "mountPath": names.SECRETS_PATH, "readOnly": True},
            *_directory_mounts(spec),
        ],
    }


def _claim_name(recording: CloudRecording, part: Part) -> str:
    metadata = recording.metadata
    return names.claim_name(recording=metadata.name, uid=metadata.uid, part=part.number)


def _labels(recording: CloudRecording, part: Part) -> dict[str, str]:
    metadata = recording.metadata
    return names.pod_labels(recording=metadata.name, uid=metadata.uid, part=part.number)


def _bucket_label(recording: CloudRecording, settings: OperatorSettings) -> dict[str, str]:
    """Where several replicas decide, each watches the pods of its own recordings by it."""
    metadata = recording.metadata
    return {} if settings.shards == 1 else {names.LABEL_BUCKET: str(bucket_of(metadata.namespace, metadata.name))}


def _controller(template: Json) -> Json:
    metadata = template["metadata"]
    owner = {"apiVersion": "v1", "kind": "PodTemplate", "name": metadata["name"], "uid": metadata["uid"]}
    # It blocks nothing: where owners are checked, that would take a right to the finalizers of PodTemplates.
    return {**owner, "controller": True, "blockOwnerDeletion": False}


def _grace_seconds(spec: CloudRecordingSpec) -> int:
    # What comes before the upload (leaving the channel, closing the slice) and after it (the report) takes time, too.
    return spec.upload_grace_seconds + 30


def _tolerations(options: PodOptions, *, node_lost_seconds: int) -> list[Json]:
    """The user's tolerations, and how long Kubernetes waits for a silent node until it ends the pod.

    Never less than it does by itself, so that a hiccup ends nothing; the operator may go on elsewhere before.
    """
    waits = [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": max(LEAST_TOLERATION_SECONDS, node_lost_seconds),
        }
        for taint in ("not-ready", "unreachable")
    ]
    return [*(_dump(toleration) for toleration in options.tolerations), *waits]


def _resources(spec: CloudRecordingSpec, options: PodOptions, *, settings: OperatorSettings) -> Json:
    """Each figure from the recording, else from the administrator, else from the sizing table.

    A figure of the table gives way where it would contradict one that a person gave: the API server refuses a limit
    below its request.
    """
    given, usual, sized = options.resources or Resources(), settings.runner.resources, default_resources(spec)
    requests, limits = {**usual.requests, **given.requests}, {**usual.limits, **given.limits}
    sized_requests = {name: figure for name, figure in sized["requests"].items() if name not in limits}
    sized_limits = {name: figure for name, figure in sized["limits"].items() if name not in requests}
    # A limit without a request is one: the API server then takes the limit for both.
    return {"requests": {**sized_requests, **requests}, **_given("limits", {**sized_limits, **limits})}


def _work_volume(spec: CloudRecordingSpec, *, claim: str) -> Json:
    if spec.work.persistent_volume_claim is not None:
        return {"persistentVolumeClaim": {"claimName": claim}}
    empty_dir = spec.work.empty_dir
    return {"emptyDir": {"sizeLimit": empty_dir.size_limit} if empty_dir else {}}


def _directories(spec: CloudRecordingSpec) -> Iterator[tuple[str, str, str]]:
    """Volume, claim and path of each store that is a directory; a claim that is both has one volume."""
    volumes: dict[str, str] = {}
    for name, storage, path in (
        ("storage", spec.storage, names.STORAGE_PATH),
        ("backup", spec.backup, names.BACKUP_PATH),
    ):
        if storage is not None and storage.directory is not None:
            claim = storage.directory.claim_name
            yield volumes.setdefault(claim, name), claim, path


def _directory_volumes(spec: CloudRecordingSpec) -> list[Json]:
    claims = {volume: claim for volume, claim, _ in _directories(spec)}
    return [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]


def _directory_mounts(spec: CloudRecordingSpec) -> list[Json]:
    return [{"name": volume, "mountPath": path} for volume, _, path in _directories(spec)]


def _documents() -> Iterator[Json]:
    for annotation, file in (
        (RECORDING_ANNOTATION, "recording.json"),
        (DESIRED_ANNOTATION, "desired.json"),
        (CALLBACK_CA_ANNOTATION, "callback-ca.pem"),
    ):
        yield {"path": file, "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{annotation}']"}}


def _token() -> Json:
    return {"serviceAccountToken": {"path": "token", "audience": CALLBACK_AUDIENCE, "expirationSeconds": TOKEN_SECONDS}}


def _secret_sources(spec: CloudRecordingSpec) -> Iterator[Json]:
    """Each Secret once, with just the keys that the spec names, every one of them allowed to be missing."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for needed in needed_keys(spec):
        keys[needed.ref.name].add(needed.ref.key)
    for name in sorted(keys):
        items = [{"key": key, "path": f"{name}/{key}"} for key in sorted(keys[name])]
        yield {"secret": {"name": name, "optional": True, "items": items}}


def _field(name: str, path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _given(key: str, value: object) -> Json:
    """The entry, or nothing when there is no value: the API server's defaults are then seen as such."""
    return {key: value} if value else {}


def _dump(model: BaseModel) -> Json:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
