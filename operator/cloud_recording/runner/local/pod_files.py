# SPDX-License-Identifier: Apache-2.0
"""The files that a pod's supervisor reads, made from a manifest: what the operator and the kubelet do in a cluster."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud_recording.api.channel import URL_SCHEMES, Stream
from cloud_recording.api.recording import CloudRecordingSpec, DesiredRecordingState
from cloud_recording.api.wire import ABSENT, DesiredState, EngineLibrary, PartIdentity, RecordingDocument
from cloud_recording.runner.local.manifest import Manifest, ManifestError, Secrets
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.mounts import Mounts


class PodFiles:
    """The mounted files of one recording, below a directory that only this user can read."""

    def __init__(self, manifest: Manifest, directory: Path, *, uid: uuid.UUID, engine: str) -> None:
        self._manifest = manifest
        self._uid = uid
        self._engine = engine
        self.mounts = Mounts(pod=directory / "pod", secrets=directory / "secrets", token=directory / "token")
        self.desired = DesiredState.of_spec(manifest.spec, generation=1, state=manifest.spec.desired_state)

    def change_desired(self, **changes: object) -> None:
        """Writes another desired state, as the operator would."""
        generation = self.desired.generation + 1
        self.desired = self.desired.model_copy(update={**changes, "generation": generation})
        _write(self.mounts.desired_path, self.desired.model_dump(mode="json", by_alias=True))

    def edit(self, manifest: Manifest) -> bool:
        """Has the recording follow an edited manifest, and its Secrets; false where it has more than can change."""
        desired = self.desired
        stopped = desired.state is DesiredRecordingState.STOPPED
        self._mount(manifest.secrets)
        self._check_secrets(self._document(), manifest.spec.channel.listed_streams)
        self.desired = DesiredState.of_spec(
            manifest.spec,
            generation=desired.generation + 1,
            state=desired.state if stopped else manifest.spec.desired_state,
        )
        _write(self.mounts.desired_path, self.desired.model_dump(mode="json", by_alias=True))
        return _as_begun(manifest.spec, self._manifest.spec) == self._manifest.spec

    def _mount(self, secrets: Secrets) -> None:
        for name, keys in secrets.items():
            (self.mounts.secrets / name).mkdir(parents=True, exist_ok=True)
            for key, content in keys.items():
                path = self.mounts.secrets / name / key
                new = path.with_name(f".{key}.new")
                new.write_bytes(content)
                new.replace(path)

    def lay_out(self) -> None:
        """Lays the files out as the kubelet would; all secrets must be there, for nobody will create one later."""
        document = self._document()
        self.mounts.pod.mkdir()
        _write(self.mounts.pod / "recording.json", document.model_dump(mode="json", by_alias=True, exclude_none=True))
        _write(self.mounts.desired_path, self.desired.model_dump(mode="json", by_alias=True))
        self._mount(self._manifest.secrets)
        self._check_secrets(document, document.spec.channel.listed_streams)

    def _check_secrets(self, document: RecordingDocument, streams: tuple[Stream, ...]) -> None:
        secrets = MountedSecrets(document, self.mounts.secrets)
        secrets.streams = streams
        missing = secrets.missing()
        if missing:
            raise ManifestError(
                "\n".join(
                    f"{secret.field}: the files hold no Secret {secret.secret_name!r} with the key {secret.key!r}"
                    if secret.problem == ABSENT
                    else f"{secret.field}: {secret.sentence()}"
                    for secret in missing
                )
            )

    def _document(self) -> RecordingDocument:
        spec = self._manifest.spec
        return RecordingDocument(
            namespace=self._manifest.namespace,
            name=self._manifest.name,
            uid=str(self._uid),
            recording_id=self._uid.hex,
            part=PartIdentity(number=0),
            spec=spec.model_copy(update={"pod": None}),
            storage=spec.storage,
            directory=str(self._manifest.directory) if self._manifest.directory else None,
            callback_url="",
            engine=EngineLibrary(name=spec.engine.name, library_path=self._engine),
            protocols=(*URL_SCHEMES, "file"),
            allow_link_local=True,
            max_wait_seconds=spec.recording.max_wait_seconds,
        )


def _as_begun(edited: CloudRecordingSpec, begun: CloudRecordingSpec) -> CloudRecordingSpec:
    """The edited spec with what may change put back."""
    edited_video = ("layout", "max_resolution_uid", "max_resolution_identity")
    video = {name: getattr(begun.recording.video, name) for name in edited_video}
    recording = edited.recording.model_copy(update={"video": edited.recording.video.model_copy(update=video)})
    channel = edited.channel.model_copy(update={"streams": begun.channel.streams})
    kept = {name: getattr(begun, name) for name in ("desired_state", "upload_grace_seconds")}
    return edited.model_copy(update={"recording": recording, "channel": channel, **kept})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content), encoding="utf-8")
    new.replace(path)
