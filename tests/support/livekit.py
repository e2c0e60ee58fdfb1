# SPDX-License-Identifier: Apache-2.0
"""A real LiveKit server on this machine, and people in its rooms: nothing of it leaves the loopback address."""

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ports import await_listener, free_port, free_udp_port
from tests.support.waiting import await_true

REPOSITORY = Path(__file__).parents[2]
LIVEKIT_SERVER = REPOSITORY / "build" / "bin" / "livekit-server"

API_KEY = "recorder-test"
API_SECRET = "a-secret-of-at-least-thirty-two-characters"


def livekit_library() -> Path:
    """The client library that rooms are recorded with: that of the installed package."""
    spec = importlib.util.find_spec("livekit")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "rtc" / "resources" / "liblivekit_ffi.so"


# What a client would ask public servers for, it asks a port of this machine that does not answer.
CONFIGURATION = {
    "bind_addresses": ["127.0.0.1"],
    "rtc": {
        "node_ip": "127.0.0.1",
        "use_external_ip": False,
        "enable_loopback_candidate": True,
        "interfaces": {"includes": ["lo"]},
        "tcp_port": 0,
        "stun_servers": ["127.0.0.1:9"],
    },
    "keys": {API_KEY: API_SECRET},
    "logging": {"level": "debug", "json": True},
}


@dataclass
class LiveKitServer:
    """A server that may be stopped and started again on the same ports; its rooms are gone with it."""

    directory: Path
    auto_create: bool = True
    ice_lite: bool = False
    port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=free_udp_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns once the server answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        rtc = {**CONFIGURATION["rtc"], "udp_port": self.udp_port, "use_ice_lite": self.ice_lite}  # type: ignore[dict-item]
        room = {"auto_create": self.auto_create}
        document = {**CONFIGURATION, "port": self.port, "rtc": rtc, "room": room}
        file = self.directory / "livekit.yaml"
        file.write_text(json.dumps(document))
        with (self.directory / "server.log").open("ab") as log:
            command = [str(LIVEKIT_SERVER), "--config", str(file)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        await_listener(self.port)

    def subscribed(self, identity: str) -> set[str]:
        """The IDs of the tracks whose media this participant was sent."""
        lines = (self.directory / "server.log").read_text(encoding="utf-8").splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return {
            line["trackID"]
            for line in told
            if (line["msg"], line.get("participant")) == ("subscribed to track", identity)
        }

    def kill(self) -> None:
        """Returns once nobody listens any more; nobody in its rooms is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, room: str, **fields: Any) -> dict[str, Any]:
        """Has the room's administrator ask the server's API, as in `ask("RemoveParticipant", "room", identity="x")`."""
        key = token(room, "administrator", roomCreate=True, roomList=True, roomAdmin=True)
        named = {"name" if method == "CreateRoom" else "room": room, **fields}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/twirp/livekit.RoomService/{method}",
            data=json.dumps(named).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 # the scheme is above
            content: dict[str, Any] = json.load(answer)
        return content

    def identities(self, room: str) -> list[str]:
        """Everybody whom the server has in the room, those too who are hidden from each other."""
        people = self.ask("ListParticipants", room).get("participants", [])
        return [person["identity"] for person in people]

    def await_tracks(self, room: str, identity: str, count: int = 2) -> None:
        """Returns once the server has so many tracks of somebody, which it has when media of them came."""

        def tracks() -> int:
            people = self.ask("ListParticipants", room).get("participants", [])
            return sum(len(person["tracks"]) for person in people if person["identity"] == identity)

        await_true(lambda: tracks() == count)


@contextlib.contextmanager
def livekit_server(directory: Path, *, auto_create: bool = True, ice_lite: bool = False) -> Iterator[LiveKitServer]:
    """A running server for the time of the block."""
    server = LiveKitServer(directory, auto_create, ice_lite)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def token(
    room: str,
    identity: str,
    *,
    key: str = API_KEY,
    secret: str = API_SECRET,
    seconds: int = 3600,
    kind: str = "",
    **grants: Any,
) -> str:
    """A token with which `identity` joins the room; with a negative time it has expired. A kind is "agent" or "sip"."""
    video = {"room": room, "roomJoin": True, **grants}
    now = int(time.time())
    claims = {"iss": key, "sub": identity, "nbf": now - 7200, "exp": now + seconds, "video": video, "kind": kind}
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64(signature)}"


def _encoded(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass
class Publisher:
    """Somebody in a room, in a process of their own."""

    process: subprocess.Popen[str]

    def tell(self, command: str) -> None:
        """Has the publisher do something, and returns when it is done: see `tests.support.livekit_publisher`."""
        self.begin(command)
        self.await_done()

    def begin(self, command: str) -> None:
        """Has the publisher begin to do something, for `await_done` to wait for."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> str:
        """What the publisher answers."""
        self.begin(command)
        return self._answer()

    def await_done(self) -> None:
        answer = self._answer()
        if answer != "done":
            raise AssertionError(f"the publisher said {answer!r}")

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """The publisher's machine is gone; nobody is told."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def publisher(
    server: LiveKitServer,
    room: str,
    identity: str,
    *,
    log: Path,
    colour: str = "red",
    tone: int = 440,
    shared_key: str = "",
    simulcast: bool = False,
    kind: str = "",
    beside: Sequence[str] = (),
    **more: str | int,
) -> Iterator[Publisher]:
    """Somebody who shows a colour and plays a tone (Hz; 0 is none) for the time of the block, and is there already.

    With a shared key both are encrypted end to end. `kind` as of a token. Those beside do the same, and nothing of what
    this one is told. What more there is to say, `tests.support.livekit_publisher` knows.
    """
    joins = token(room, identity, kind=kind)
    options = {"--url": server.url, "--token": joins, "--colour": colour, "--tone": str(tone)}
    options["--shared-key"] = shared_key
    options |= {f"--{name.replace('_', '-')}": str(value) for name, value in more.items()}
    command = [
        sys.executable,
        "-m",
        "tests.support.livekit_publisher",
        *(word for pair in options.items() for word in pair),
        *(["--simulcast"] if simulcast else []),
        *(word for other in beside for word in ("--beside", token(room, other))),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    somebody = Publisher(process)
    try:
        somebody.await_done()
        yield somebody
    finally:
        somebody.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
