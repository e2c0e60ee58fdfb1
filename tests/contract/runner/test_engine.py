# SPDX-License-Identifier: Apache-2.0
"""The binding, in this process: the queue between an engine's threads and Python keeps its promises."""

from __future__ import annotations

import asyncio
import select
from pathlib import Path

import pytest

from cloud_recording.runner.recorder.engine import (
    CallbackType,
    Engine,
    EngineCallback,
    EngineError,
    EngineRefused,
    EngineUnsupported,
    Recorder,
    StartParameters,
)

QUEUE_BOUND = 256 + 10 * 15
STORM = 8 * 4000


def parameters(script: str, **more: int) -> StartParameters:
    numbers = {
        "stream_types": 2,
        "decryption_mode": 0,
        "channel_type": 0,
        "audio_profile": 0,
        "video_stream_type": 0,
        "max_idle_seconds": 30,
        "width": 360,
        "height": 640,
        "frames_per_second": 15,
        "bitrate_kbps": 500,
        "max_resolution_uid": 0,
        "layout": 0,
        "vendor": 1,
        "region": 0,
    }
    return StartParameters(
        app_id=script,
        channel_name="room",
        token=None,
        uid=1,
        secret=None,
        bucket="b",
        access_key="a-key",
        secret_key="s-key",
        **{**numbers, **more},
    )


@pytest.fixture
def recorder(scripted_engine: Path) -> Recorder:
    """An instance of the scripted engine."""
    return Engine(str(scripted_engine)).create_recorder(None)


def all_callbacks(recorder: Recorder, *, until: CallbackType) -> list[EngineCallback]:
    """Everything up to a type of callback, taken when the descriptor says that something waits."""
    found: list[EngineCallback] = []
    while not found or found[-1].type is not until:
        readable, _, _ = select.select([recorder], [], [], 60)
        assert readable, "nothing came"
        found += recorder.callbacks()
    return found


def test_a_storm_that_nobody_reads_is_bounded_counted_and_loses_no_kind(recorder: Recorder) -> None:
    recorder.start(parameters("connecting,started,storm=8x4000,failure=434,stopped|"))
    recorder.release(cancel=False)
    found = list(recorder.callbacks())
    assert len(found) <= QUEUE_BOUND
    assert [callback.type for callback in found[:2]] == [CallbackType.CONNECTING, CallbackType.STARTED]
    assert [callback.code for callback in found[-2:]] == [434, 0]
    for kind in (CallbackType.RECORDER_FAILURE, CallbackType.UPLOADING_PROGRESS):
        of_kind = [callback for callback in found if callback.type is kind and callback.code != 434]
        assert sum(1 + callback.repeats for callback in of_kind) == STORM
    assert found[-1].type is CallbackType.STOPPED


def test_a_long_text_is_cut_at_a_characters_border(recorder: Recorder) -> None:
    long_name = parameters("uploaded|")
    object.__setattr__(long_name, "channel_name", "会" * 500)
    recorder.start(long_name)
    (uploaded,) = all_callbacks(recorder, until=CallbackType.UPLOADED)
    assert len(uploaded.text.encode()) <= 1023
    assert uploaded.text.startswith(recorder.recording_id)
    assert set(uploaded.text.removeprefix(recorder.recording_id + "_")) == {"会"}


async def test_callbacks_wake_the_event_loop(recorder: Recorder) -> None:
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(recorder.fileno(), woken.set)
    recorder.start(parameters("sleep=50,started|"))
    async with asyncio.timeout(60):
        await woken.wait()
    loop.remove_reader(recorder.fileno())
    assert [callback.type for callback in recorder.callbacks()] == [CallbackType.STARTED]


def test_refusals_carry_the_engines_code(recorder: Recorder) -> None:
    with pytest.raises(EngineRefused) as refused:
        recorder.start(parameters("refuse-start=433"))
    assert refused.value.code == 433


def test_values_that_the_interface_does_not_have_are_named(recorder: Recorder) -> None:
    with pytest.raises(EngineError, match="audio_profile"):
        recorder.start(parameters("started", audio_profile=3))


def test_nothing_can_be_asked_of_a_released_recorder(recorder: Recorder) -> None:
    recorder.release(cancel=True)
    for call in (recorder.stop, lambda: recorder.start(parameters("")), lambda: recorder.release(cancel=False)):
        with pytest.raises(EngineError, match="was released"):
            call()


def test_an_engine_with_the_published_interface_only_says_so(scripted_engine: Path, recorder: Recorder) -> None:
    engine = Engine(str(scripted_engine))
    assert not engine.extended
    assert engine.status(recorder.recording_id) is None
    assert engine.wait_drained(timeout_seconds=0)
    with pytest.raises(EngineUnsupported):
        engine.set_paused(recorder.recording_id, paused=True)
    with pytest.raises(EngineUnsupported):
        engine.create_recorder("{}")


def test_a_representation_shows_no_secret() -> None:
    assert "key" not in repr(parameters("started"))
