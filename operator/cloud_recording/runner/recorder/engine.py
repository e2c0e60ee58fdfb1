# SPDX-License-Identifier: Apache-2.0
"""An engine, its recorders and their callbacks as Python values. The only module that touches the native binding.

Every result of the shim is checked in `_check`, every handle is owned by `ffi.gc`. Engine threads never run Python:
callbacks wait in the shim's queue, `Recorder.fileno()` turns readable, and `Recorder.callbacks()` takes them out. Calls
into the engine may block for as long as the engine likes and release the GIL, so they belong on a thread of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from cloud_recording.runner.recorder._native import ffi, lib

CData: TypeAlias = Any
_ID_BYTES = 256
_STATUS_BYTES = 16_384
_ANSWER_BYTES = 16_384


class Result(IntEnum):
    """`enum shim_result`."""

    OK = lib.SHIM_OK
    REFUSED = lib.SHIM_REFUSED
    UNSUPPORTED = lib.SHIM_UNSUPPORTED
    INVALID = lib.SHIM_INVALID
    LOAD_FAILED = lib.SHIM_LOAD_FAILED
    RELEASED = lib.SHIM_RELEASED
    INTERNAL = lib.SHIM_INTERNAL


class EngineError(Exception):
    """A call into the engine failed; `code` is the engine's own answer where it gave one."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class EngineRefused(EngineError):  # noqa: N818 - its base says that it is an error
    """The engine answered with an error code."""


class EngineUnsupported(EngineError):  # noqa: N818
    """The engine has only the published interface, and this needs more."""


class EngineUnavailable(EngineError):  # noqa: N818
    """The library cannot be loaded, or is not an engine this runner can drive."""


class CallbackType(IntEnum):
    """`enum shim_event_type`: the nine functions of the published observer."""

    CONNECTING = lib.SHIM_CONNECTING
    STARTED = lib.SHIM_STARTED
    STOPPED = lib.SHIM_STOPPED
    UPLOADED = lib.SHIM_UPLOADED
    BACKED_UP = lib.SHIM_BACKED_UP
    UPLOADING_PROGRESS = lib.SHIM_UPLOADING_PROGRESS
    RECORDER_FAILURE = lib.SHIM_RECORDER_FAILURE
    UPLOADER_FAILURE = lib.SHIM_UPLOADER_FAILURE
    FATAL_ERROR = lib.SHIM_FATAL_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCallback:
    """One call of the engine, copied. `repeats` more of its type and code were folded into it under a storm."""

    type: CallbackType
    code: int
    progress: int
    repeats: int
    time_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartParameters:
    """The arguments of StartCloudRecording; enumerations carry the published numbers."""

    app_id: str
    channel_name: str
    token: str | None
    uid: int
    stream_types: int
    decryption_mode: int
    secret: str | None
    channel_type: int
    audio_profile: int
    video_stream_type: int
    max_idle_seconds: int
    width: int
    height: int
    frames_per_second: int
    bitrate_kbps: int
    max_resolution_uid: int
    layout: int
    vendor: int
    region: int
    bucket: str
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        """Names the channel only: the rest holds secrets, and a representation ends up in logs and tracebacks."""
        return f"StartParameters(channel_name={self.channel_name!r}, …)"


_STRINGS = ("app_id", "channel_name", "token", "secret", "bucket", "access_key", "secret_key")
_ERRORS: dict[int, type[EngineError]] = {
    Result.REFUSED: EngineRefused,
    Result.UNSUPPORTED: EngineUnsupported,
    Result.LOAD_FAILED: EngineUnavailable,
}


def _raised(result: int, error: CData) -> EngineError:
    text = ffi.string(error.text).decode("utf-8", errors="replace")
    return _ERRORS.get(result, EngineError)(text, code=error.engine_code)


def _check(result: int, error: CData) -> None:
    if result != Result.OK:
        raise _raised(result, error)


class Engine:
    """A loaded engine. Its library stays loaded for the life of the process."""

    def __init__(self, path: str) -> None:
        error = ffi.new("shim_error *")
        handle = ffi.new("shim_engine **")
        _check(lib.shim_engine_open(path.encode(), handle, error), error)
        self._handle = ffi.gc(handle[0], lib.shim_engine_free)

    @property
    def extended(self) -> bool:
        """Whether the engine offers more than the published interface: configuration, status, layout, pause, rescue."""
        return bool(lib.shim_engine_api_version(self._handle))

    def create_recorder(self, configuration: str | None) -> Recorder:
        """A new instance, configured by the JSON document where the engine takes one."""
        error = ffi.new("shim_error *")
        document = ffi.NULL if configuration is None else ffi.new("char[]", configuration.encode())
        handle = ffi.new("shim_recorder **")
        _check(lib.shim_recorder_create(self._handle, document, handle, error), error)
        return Recorder(handle[0])

    def status(self, recording_id: str) -> str | None:
        """The snapshot (JSON) of a recording, or None when the engine knows none such or tells no status."""
        if not self.extended:
            return None
        size = _STATUS_BYTES
        needed = ffi.new("size_t *")
        while True:
            buffer = ffi.new("char[]", size)
            result = lib.shim_engine_status(self._handle, recording_id.encode(), buffer, size, needed, ffi.NULL)
            if result != Result.OK:
                return None
            if needed[0] < size:
                return str(ffi.string(buffer).decode("utf-8", errors="replace"))
            # It grew between two calls, or is larger than ever before: ask again with room to spare.
            size = needed[0] * 2

    def set_layout(self, recording_id: str, *, layout: int, max_resolution: int | str) -> None:
        """Changes the layout of a running recording without a gap, with a uid or an identity large."""
        error = ffi.new("shim_error *")
        of_recording = (self._handle, recording_id.encode(), layout)
        if isinstance(max_resolution, str):
            identity = max_resolution.encode()
            _check(lib.shim_engine_set_layout_by_identity(*of_recording, identity, error), error)
        else:
            _check(lib.shim_engine_set_layout(*of_recording, max_resolution, error), error)

    def set_paused(self, recording_id: str, *, paused: bool) -> None:
        """Pauses a recording (a stated gap) or goes on with it."""
        error = ffi.new("shim_error *")
        _check(lib.shim_engine_set_paused(self._handle, recording_id.encode(), int(paused), error), error)

    def set_storage(self, recording_id: str, *, place: str) -> None:
        """Has a recording go to another place (JSON), which works for as long as no store has a file of it."""
        error = ffi.new("shim_error *")
        _check(lib.shim_engine_set_storage(self._handle, recording_id.encode(), place.encode(), error), error)

    def set_streams(self, recording_id: str, *, streams: str) -> None:
        """Has other participants (JSON) in a running recording from now on."""
        error = ffi.new("shim_error *")
        _check(lib.shim_engine_set_streams(self._handle, recording_id.encode(), streams.encode(), error), error)

    def wait_drained(self, *, timeout_seconds: float) -> bool:
        """Whether released recorders have nothing left to upload, after waiting at most so long."""
        if not self.extended:
            return True
        return bool(lib.shim_engine_wait_drained(self._handle, int(timeout_seconds * 1000), ffi.NULL) == Result.OK)

    def rescue(self, configuration: str) -> None:
        """Uploads what a dead process left in the work directory; blocks until that is done."""
        error = ffi.new("shim_error *")
        _check(lib.shim_engine_rescue(self._handle, configuration.encode(), error), error)

    def merge(self, configuration: str) -> str:
        """Puts one playlist over several parts into their store; what the engine says of it (JSON), refusals too."""
        error = ffi.new("shim_error *")
        answer = ffi.new("char[]", _ANSWER_BYTES)
        result = lib.shim_engine_merge(self._handle, configuration.encode(), answer, _ANSWER_BYTES, error)
        if result != Result.REFUSED:
            _check(result, error)
        return str(ffi.string(answer).decode("utf-8", errors="replace"))


class Recorder:
    """One instance of an engine: one recording. Released when it is collected, unless `release` was called."""

    def __init__(self, handle: CData) -> None:
        self._handle = ffi.gc(handle, lib.shim_recorder_free)
        buffer = ffi.new("char[]", _ID_BYTES)
        lib.shim_recorder_id(self._handle, buffer, _ID_BYTES)
        self.recording_id: str = ffi.string(buffer).decode("utf-8", errors="replace")

    def fileno(self) -> int:
        """A descriptor that is readable while callbacks wait; it lives as long as this object."""
        return int(lib.shim_recorder_event_fd(self._handle))

    def callbacks(self) -> Iterator[EngineCallback]:
        """Takes the waiting callbacks out, oldest first."""
        event = ffi.new("shim_event *")
        while lib.shim_recorder_next(self._handle, event):
            yield EngineCallback(
                type=CallbackType(event.type),
                code=event.code,
                progress=event.progress,
                repeats=event.repeats,
                time_ms=event.time_ms,
                text=ffi.string(event.text).decode("utf-8", errors="replace"),
            )

    @property
    def late_callbacks(self) -> int:
        """How often the engine called after Release had returned, against the interface; those calls are discarded."""
        return int(lib.shim_recorder_late_events(self._handle))

    def start(self, parameters: StartParameters) -> None:
        """StartCloudRecording."""
        start = ffi.new("shim_start *")
        start.struct_size = ffi.sizeof("shim_start")
        kept = []  # cffi does not keep a string alive that a structure points to
        for name in parameters.__dataclass_fields__:
            value = getattr(parameters, name)
            if name in _STRINGS:
                value = ffi.NULL if value is None else ffi.new("char[]", value.encode())
                kept.append(value)
            setattr(start, name, value)
        error = ffi.new("shim_error *")
        _check(lib.shim_recorder_start(self._handle, start, error), error)

    def stop(self) -> None:
        """StopCloudRecording."""
        error = ffi.new("shim_error *")
        _check(lib.shim_recorder_stop(self._handle, error), error)

    def release(self, *, cancel: bool) -> None:
        """Release. No callback is added after it returned; those that wait can still be taken out."""
        error = ffi.new("shim_error *")
        _check(lib.shim_recorder_release(self._handle, int(cancel), error), error)
