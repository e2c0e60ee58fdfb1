# SPDX-License-Identifier: Apache-2.0
"""The Secrets that a recording needs, at the files where the kubelet mounts them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloud_recording.api.channel import Stream
from cloud_recording.api.needed_secrets import needed_keys
from cloud_recording.api.phrases import participant
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.wire import ABSENT, MissingSecret, RecordingDocument
from cloud_recording.runner.supervisor.stream_urls import objection


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededSecret:
    """A key of a Secret, the field of the spec that names it, and the file it is mounted at."""

    name: str
    key: str
    field: str
    path: Path
    participant: str = ""
    """Whose URL it holds, in words."""

    def problem(self) -> str:
        """Why there is nothing to be had from it; nothing where there is."""
        try:
            return "" if self.path.stat().st_size > 0 else "is empty"
        except OSError:
            return ABSENT

    def version(self) -> tuple[int, int] | None:
        """Another one once it was mounted anew; None where it is not there."""
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def as_missing(self, problem: str, *, unusable: bool = False) -> MissingSecret:
        """What the status says meanwhile."""
        return MissingSecret(
            secret_name=self.name,
            key=self.key,
            field=self.field,
            problem=problem,
            unusable=unusable,
            participant=self.participant,
        )


def _used(document: RecordingDocument) -> tuple[str, ...]:
    """What the fields begin with that the pod uses: whoever delivers what another recorded joins no channel, and its
    Secrets may be gone by then."""
    if document.parts is not None:
        return ("spec.storage.",)
    return ("spec.storage.", "spec.backup.") if document.part.rescue else ("spec.",)


class MountedSecrets:
    """A file for each key of a Secret: its directory is named after the Secret, and itself after the key."""

    def __init__(self, document: RecordingDocument, directory: Path) -> None:
        self._document = document
        self._directory = directory
        self.streams = document.spec.channel.listed_streams
        """The participants whose Secrets are needed now."""
        self._used = _used(document)

    def path(self, reference: SecretKeyRef) -> Path:
        """Where a key is mounted."""
        return self._directory / reference.name / reference.key

    def needed(self) -> Iterator[NeededSecret]:
        """Every secret that the pod cannot do without, in the order of the spec's fields."""
        return self.needed_with(self.streams)

    def needed_with(self, streams: tuple[Stream, ...]) -> Iterator[NeededSecret]:
        """The same with these participants."""
        spec = self._document.spec
        channel = spec.channel.model_copy(update={"streams": streams})
        for field, ref, stream in needed_keys(spec.model_copy(update={"channel": channel})):
            if not field.startswith(self._used):
                continue
            yield NeededSecret(
                name=ref.name,
                key=ref.key,
                field=self._field(field),
                path=self.path(ref),
                participant=participant(stream.uid, stream.name) if stream else "",
            )

    def _field(self, field: str) -> str:
        """The field as people find it: of what a RecordingStorage has, in that."""
        for name, own in (("spec.storage.", self._document.storage_name), ("spec.backup.", self._document.backup_name)):
            if own is not None and field.startswith(name):
                return f"RecordingStorage/{own} spec.{field.removeprefix(name)}"
        return field

    def missing(self) -> tuple[MissingSecret, ...]:
        """The needed secrets that are not to be had, each key once; else, if no participant has a URL that can be
        used, those that hold them."""
        found = ((need, need.problem()) for need in self.needed())
        missing = {(need.name, need.key): need.as_missing(problem) for need, problem in found if problem}
        return tuple(missing.values()) or self._unusable()

    def versions(self) -> tuple[tuple[int, int] | None, ...]:
        """What tells needed secrets from what they were before, without reading them."""
        return tuple(need.version() for need in self.needed())

    def _unusable(self) -> tuple[MissingSecret, ...]:
        needs = list(self.needed())
        urls = [need for need in needs if need.participant]
        if len(urls) < len(self.streams):
            return ()
        objections = {need: self._objection(need) for need in urls}
        if not all(objections.values()):
            return ()
        return tuple(need.as_missing(objection, unusable=True) for need, objection in objections.items())

    def _objection(self, need: NeededSecret) -> str:
        document = self._document
        text = need.path.read_text(encoding="utf-8", errors="replace").strip()
        return objection(text, protocols=document.protocols, allow_link_local=document.allow_link_local)
