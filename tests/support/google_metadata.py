# SPDX-License-Identifier: Apache-2.0
"""Google's metadata server, of a GKE node or of a machine: it says whose tokens it gives out, and gives them out."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.support.google import GoogleServer
from tests.support.ports import free_port
from tests.support.server_front import Answer, answering

POD = "example.svc.id.goog"
"""What GKE's says of a pod that acts as no Google service account: the workload identity pool."""
NODE = "123456-compute@developer.gserviceaccount.com"
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"


@dataclass
class MetadataServer:
    """What it knows: whose tokens it gives out, and the store that they open."""

    store: GoogleServer
    email: str = POD
    seconds: int = 3600
    """How long tokens are good that are given out from now on."""
    refusal: Answer | None = None
    """What it answers instead."""
    port: int = field(default_factory=free_port)
    given: list[tuple[str, str]] = field(default_factory=list)
    """Account and token, oldest first."""
    asked: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def revoke(self) -> None:
        """Ends every token that was given out."""
        self.store.tokens = dict.fromkeys(self.store.tokens, 0.0)

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """What a request gets; without its header that is nothing, as a browser could be led to ask."""
        self.asked += 1
        if self.refusal is not None:
            return self.refusal
        if headers.get("metadata-flavor") != "Google":
            return 403, {}, b"Missing Metadata-Flavor:Google header."
        if path == f"{_ACCOUNT}email":
            return 200, {"metadata-flavor": "Google"}, self.email.encode()
        if path == f"{_ACCOUNT}token":
            return 200, {"metadata-flavor": "Google", "content-type": "application/json"}, self._token()
        return 404, {}, b"Not Found"

    def _token(self) -> bytes:
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self.given.append((self.email, token))
        self.store.tokens[token] = time.time() + self.seconds
        return json.dumps({"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"}).encode()


@contextlib.contextmanager
def metadata_server(store: GoogleServer) -> Iterator[MetadataServer]:
    """One for the time of the block."""
    server = MetadataServer(store)
    with answering(server.port, server.answer):
        yield server
