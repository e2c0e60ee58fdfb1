# SPDX-License-Identifier: Apache-2.0
"""What the administrator does not allow a recording to ask for; the answer names the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from cloud_recording.api.host_patterns import is_listed
from cloud_recording.api.needed_secrets import NeededKey, keys_of_storage, needed_keys
from cloud_recording.api.pod_options import PodOptions
from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.settings import AllowedSettings, OperatorSettings
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.api.storage import Storage
from cloud_recording.api.storage_place import place_of
from cloud_recording.domain import parts, playlist_url
from cloud_recording.domain.conditions import ReadyReason
from cloud_recording.domain.observed_state import ObservedState


def denial(spec: CloudRecordingSpec, settings: OperatorSettings) -> str | None:
    """The first thing in the spec that is not allowed, in a sentence; None when everything is."""
    return next(_denials(spec, settings), None)


def why_not_begun(state: ObservedState) -> ReadyReason | None:
    """Why no pod may be made that records: its stores are awaited, or something of the spec is not allowed, as spec,
    RecordingStorages and settings are by now."""
    if state.context.store_wait is not None:
        return state.context.store_wait
    forbidden = denial(state.recording.spec, state.settings)
    return ReadyReason(reason=Reason.NOT_ALLOWED, message=forbidden) if forbidden is not None else None


def storage_denial(spec: CloudRecordingSpec, settings: OperatorSettings) -> str | None:
    """The same of where its files go."""
    return next(_storage_denials(spec, settings.allowed), None)


def stores_denial(spec: CloudRecordingSpec, settings: OperatorSettings) -> str | None:
    """The same of all that a pod which only delivers has to do with: every store, and every Secret."""
    return next(_stores_denials(spec, settings.allowed), None)


def shared_storage_denial(storage: Storage, settings: OperatorSettings) -> str | None:
    """The same of a RecordingStorage."""
    return next(_shared_denials(storage, settings.allowed), None)


def denied_storage_change(
    recording: CloudRecording, status: CloudRecordingStatus, settings: OperatorSettings
) -> ReadyReason | None:
    """Why the files of a recording under way stay where they go: the administrator does not allow where its spec wants
    them now. None where that is allowed, or nothing changed."""
    part = parts.newest(status)
    storage = recording.spec.storage
    if part is None or part.storage is None or storage.is_unresolved or part.storage.place == place_of(storage):
        return None
    forbidden = storage_denial(recording.spec, settings)
    return ReadyReason(reason=Reason.NOT_ALLOWED, message=forbidden) if forbidden is not None else None


def _denials(spec: CloudRecordingSpec, settings: OperatorSettings) -> Iterator[str]:
    if spec.engine.name not in settings.engines:
        known = ", ".join(f"'{name}'" for name in sorted(settings.engines))
        yield f"`spec.engine.name` must be one of the administrator's engines: {known}"
    for index, stream in enumerate(spec.channel.listed_streams):
        if stream.url is not None:
            yield from _url_denials(f"spec.channel.streams[{index}].url", stream.url, settings.allowed)
    if spec.channel.livekit is not None:
        yield from _url_denials("spec.channel.livekit.url", spec.channel.livekit.url, settings.allowed)
    yield from _stores_denials(spec, settings.allowed)
    if spec.pod is not None:
        yield from _pod_denials(spec.pod, settings.allowed)


def _url_denials(field: str, url: str, allowed: AllowedSettings) -> Iterator[str]:
    scheme = url.partition("://")[0]
    try:
        host = urlsplit(url).hostname
    except ValueError:
        yield f"`{field}` must be a URL: its host cannot be read"
        return
    if scheme not in allowed.protocols:
        yield f"`{field}` must not use '{scheme}': the administrator does not allow it"
    elif not is_listed(host or "", allowed.stream_hosts):
        yield f"`{field}` must not lead to '{host}': the administrator does not allow it"


def _stores_denials(spec: CloudRecordingSpec, allowed: AllowedSettings) -> Iterator[str]:
    yield from _storage_denials(spec, allowed)
    if spec.backup is not None:
        yield from _store_denials("spec.backup", spec.backup, allowed)


def _storage_denials(spec: CloudRecordingSpec, allowed: AllowedSettings) -> Iterator[str]:
    """Without these, whoever may make recordings could have any Secret of the namespace sent to a server of theirs."""
    yield from _store_denials("spec.storage", spec.storage, allowed)
    yield from _secret_denials(needed_keys(spec), allowed)


def _shared_denials(storage: Storage, allowed: AllowedSettings) -> Iterator[str]:
    yield from _store_denials("spec", storage, allowed)
    yield from _secret_denials(keys_of_storage(storage, "spec"), allowed)


def _secret_denials(needed: Iterable[NeededKey], allowed: AllowedSettings) -> Iterator[str]:
    for name in sorted({one.ref.name for one in needed}):
        if not _matches(name, allowed.secrets):
            yield f"`spec` must not name the Secret '{name}': the administrator does not allow it"


def _store_denials(field: str, storage: Storage, allowed: AllowedSettings) -> Iterator[str]:
    if storage.directory is not None:
        claim = storage.directory.claim_name
        if not _matches(claim, allowed.claims):
            yield f"`{field}.directory` must not be on the claim '{claim}': the administrator does not allow it"
        return
    host = playlist_url.host(storage)
    if not is_listed(host, allowed.endpoints):
        yield f"`{field}` must not lead to '{host}': the administrator does not allow it"
    proxy = urlsplit(storage.proxy_url).hostname or "" if storage.proxy_url is not None else None
    if proxy is not None and not is_listed(proxy, allowed.endpoints):
        yield f"`{field}.proxyURL` must not lead to '{proxy}': the administrator does not allow it"
    account = storage.service_account_name
    if account is not None and account not in allowed.service_accounts:
        yield f"`{field}.serviceAccountName` must not be '{account}': the administrator does not allow it"
    acts_as = storage.google_service_account
    if acts_as is not None and acts_as not in allowed.service_accounts:
        yield f"`{field}.googleServiceAccount` must not be '{acts_as}': the administrator does not allow it"
    if storage.instance_identity and not allowed.instance_identity:
        yield f"`{field}.instanceIdentity` must not be used: the administrator does not allow it"


def _pod_denials(pod: PodOptions, allowed: AllowedSettings) -> Iterator[str]:
    named = {
        "serviceAccountName": (pod.service_account_name, allowed.service_accounts),
        "priorityClassName": (pod.priority_class_name, allowed.priority_classes),
    }
    for field, (value, permitted) in named.items():
        if value is not None and value not in permitted:
            yield f"`spec.pod.{field}` must not be '{value}': the administrator does not allow it"
    for field, keys, patterns in (
        ("labels", pod.labels, allowed.labels),
        ("annotations", pod.annotations, allowed.annotations),
    ):
        for key in sorted(keys):
            if not _matches(key, patterns):
                yield f"`spec.pod.{field}` must not have the key '{key}': the administrator does not allow it"
    switches = {
        "nodeSelector": (bool(pod.node_selector), allowed.node_selectors),
        "tolerations": (bool(pod.tolerations), allowed.tolerations),
        "affinity": (pod.affinity is not None, allowed.affinity),
    }
    for field, (used, switched_on) in switches.items():
        if used and not switched_on:
            yield f"`spec.pod.{field}` must not be used: the administrator does not allow it"


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(key.startswith(one[:-1]) if one.endswith("*") else key == one for one in patterns)
