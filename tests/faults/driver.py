# SPDX-License-Identifier: Apache-2.0
"""Carries a schedule out: a source, a bucket behind a proxy, a recorder, and everything that happens to them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.film import Film, make_film, pictures
from tests.faults.lives import Library, Order, Recorder, Supervised
from tests.faults.machine import Machine, interposer
from tests.faults.oracle import NOTHING_RECORDED, Observations, PlaylistPut, Recorded, Stored
from tests.faults.proxy import Certificates, FaultProxy, fault_proxy
from tests.faults.schedule import KILLS, Fault, Kind, Schedule
from tests.faults.source import Source, serving
from tests.support.certificates import self_signed
from tests.support.s3 import Bucket, s3_server

_TICK_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 0.5
"""How soon a recorder that ended by itself is begun again."""
_START_SECONDS: Final = 60.0
"""How long a recording may take to begin before it is stopped all the same."""
_LEAST_SECONDS: Final = 3.0
"""How long it records at least, if nothing that goes wrong keeps it from that."""
_PATIENCE_SECONDS: Final = 90.0
"""How long everything may take to be delivered once nothing is wrong any more."""


@dataclass(frozen=True)
class Stage:
    """What all runs share; made once."""

    directory: Path
    film: Film
    interposer: Path
    certificates: Certificates


def set_stage(directory: Path) -> Stage:
    """Makes what all runs share in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    certificates = Certificates(_certificate(directory / "trusted.pem"), _certificate(directory / "other.pem"))
    return Stage(directory, make_film(directory / "film.ts"), interposer(directory), certificates)


def _certificate(file: Path) -> Path:
    """Certificate and key in one file."""
    certificate, key = self_signed(file.parent, names="IP:127.0.0.1,DNS:localhost", called=file.stem)
    file.write_text(certificate.read_text() + key.read_text())
    return file


def carry_out(schedule: Schedule, stage: Stage) -> tuple[Observations, Path]:
    """Records under these faults; returns what was seen, and the directory of the run."""
    directory = stage.directory / f"{schedule.seed}-{schedule.run}"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(s3_server(directory / "s3"))
        bucket = server.bucket("films")
        certificates = stage.certificates if schedule.tls else None
        proxy = stack.enter_context(fault_proxy(bucket, certificates))
        source = stack.enter_context(serving(stage.film))
        machine = Machine(stage.interposer, directory / "machine", directory / "work")
        recorder = _recorder(schedule, directory, proxy, source, machine, stage)
        backup = _Backup(directory / "backup", [])
        world = _World(schedule, recorder, proxy, source, machine, backup)
        try:
            world.live()
        finally:
            recorder.clear_up()
        return _observations(world, bucket, stage.film, directory), directory


def _recorder(
    schedule: Schedule, directory: Path, proxy: FaultProxy, source: Source, machine: Machine, stage: Stage
) -> Recorder:
    backup = directory / "backup"
    backup.mkdir()
    order = Order(
        directory=directory,
        url=source.url,
        endpoint=f"{'https' if schedule.tls else 'http'}://localhost:{proxy.port}",
        bucket=proxy.bucket.name,
        ca_file=stage.certificates.trusted if schedule.tls else None,
        backup=backup if schedule.backup and not schedule.supervised else None,
        outputs=["HLS", "MP4"] if schedule.mp4 else ["HLS"],
        environment=machine.environment,
    )
    return Supervised(order) if schedule.supervised else Library(order)


@dataclass
class _Backup:
    """The directory of the backup store, whose playlists are looked at all the time."""

    directory: Path
    puts: list[PlaylistPut]

    def look(self) -> None:
        for playlist in self.directory.glob("*.m3u8"):
            names = tuple(line for line in playlist.read_text().splitlines() if line and not line.startswith("#"))
            missing = tuple(name for name in names if not (self.directory / name).exists())
            put = PlaylistPut(key=f"backup/{playlist.name}", names=names, missing=missing)
            if put not in self.puts:
                self.puts.append(put)


@dataclass
class _World:
    """Everything that a run consists of, and its clock."""

    schedule: Schedule
    recorder: Recorder
    proxy: FaultProxy
    source: Source
    machine: Machine
    backup: _Backup
    asked_to_stop: float | None = None

    def live(self) -> None:
        """Returns once everything is delivered, or patience is over."""
        begun = time.monotonic()
        wrong: list[Fault] = []
        kills = [fault for fault in self.schedule.faults if fault.kind in KILLS]
        next_life: float | None = 0.0
        started: float | None = None
        while (now := time.monotonic() - begun) < self.schedule.quiet + _PATIENCE_SECONDS:
            due = [fault for fault in self.schedule.faults if fault.at <= now < fault.until]
            if due != wrong:
                self._apply(due, wrong)
                wrong = due
            for kill in [kill for kill in kills if kill.at <= now]:
                kills.remove(kill)
                self.recorder.kill(supervisor=kill.kind is Kind.KILL_SUPERVISOR)
                next_life = now + kill.seconds
            if self.recorder.poll() is not None:
                if self._is_over():
                    return
                next_life = max(next_life or 0.0, now + _AGAIN_SECONDS)
            if next_life is not None and next_life <= now and not self.recorder.is_alive():
                self.recorder.begin()
                next_life = None
            if started is None and self.recorder.has_started():
                started = now
            # On a busy machine it takes its time to begin.
            least = _START_SECONDS if started is None else started + _LEAST_SECONDS
            if now >= max(self.schedule.seconds, least):
                self.asked_to_stop = self.asked_to_stop or time.time()
                self.recorder.stop()
            self.backup.look()
            time.sleep(_TICK_SECONDS)

    def _is_over(self) -> bool:
        """A recording that was concluded in the backup store is over when it has come home."""
        status = self.recorder.lives[-1].status
        return status == NOTHING_RECORDED or (status == 0 and not self.recorder.has_more())

    def _apply(self, due: list[Fault], before: list[Fault]) -> None:
        self.proxy.apply(due)
        self.machine.apply(due)
        kinds, past = {fault.kind for fault in due}, {fault.kind for fault in before}
        if Kind.SOURCE_AWAY in kinds - past:
            self.source.leave()
        elif Kind.SOURCE_AWAY in past - kinds:
            self.source.come_back()
        if Kind.SERVER_GONE in kinds - past:
            self.proxy.bucket.server.stop()
        elif Kind.SERVER_GONE in past - kinds:
            self.proxy.bucket.server.start()


def _observations(world: _World, bucket: Bucket, film: Film, directory: Path) -> Observations:
    contents = {key: bucket.read(key) for key in bucket.objects()}
    playlists = [key for key in contents if key.endswith(".m3u8")]
    # The whole one of a recording whose backup store had to conclude has a name of its own, and comes last.
    playlist = max(playlists, key=len, default=None)
    manifest = next((json.loads(text) for key, text in contents.items() if key.endswith("_manifest.json")), None)
    return Observations(
        schedule=world.schedule,
        begun=world.source.begun,
        lives=world.recorder.lives,
        told=world.recorder.told(),
        summary=world.recorder.summary(),
        asked_to_stop=world.asked_to_stop,
        manifest=manifest,
        playlist=None if playlist is None else contents[playlist].decode(),
        objects={key: Stored(len(content), hashlib.sha256(content).hexdigest()) for key, content in contents.items()},
        pictures={key: list(_recorded(text, film)) for key, text in contents.items() if key.endswith(".ts")},
        mp4_pictures=next((_count(text) for key, text in contents.items() if key.endswith(".mp4")), None),
        puts=[*world.proxy.puts, *world.backup.puts],
        left=sorted(
            path.name for path in (directory / "work").rglob("*") if path.suffix in {".ts", ".mp4", ".partial"}
        ),
    )


def _count(mp4: bytes) -> int:
    """How many pictures it has."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-of", "csv=p=0"]
    command += ["-show_entries", "stream=nb_read_packets", "-i", "pipe:0"]
    return int(subprocess.run(command, input=mp4, capture_output=True, check=True).stdout.split(b",")[0])


def _recorded(content: bytes, film: Film) -> Iterator[Recorded]:
    for picture in pictures(content):
        yield Recorded(film.numbers.get(picture.digest), picture.pts)
