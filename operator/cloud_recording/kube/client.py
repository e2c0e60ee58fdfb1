# SPDX-License-Identifier: Apache-2.0
"""One connection to the API server that speaks JSON and raises the errors of `errors.py`.

Every request has a deadline, because a request that hangs would keep its key out of the work-queue for ever.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration as Configuration  # noqa: PLC0414 - for users of this module
from kubernetes.aio.client.rest import RESTClientObject
from pydantic_core import from_json, to_json
from yarl import URL

from cloud_recording.common.json_types import Json
from cloud_recording.kube.cluster_clock import ClusterClock
from cloud_recording.kube.errors import Silent, Unavailable, error_from

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
REQUEST_SECONDS: Final = 30.0
"""Longer than the API server's own slow answers; a request that takes longer is given up and tried again."""

LONGEST_LINE: Final = 2**21
"""An object as one line: of what etcd takes, 1.5 MiB, and what the API server adds."""


async def load_configuration() -> Configuration:
    """How to reach the cluster: the pod's own service account, or else what `KUBECONFIG` or the home directory says.

    Raises ValueError where there is neither.
    """
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise ValueError(f"no cluster: {error}") from None
    return configuration


def path(*segments: str) -> str:
    """A URL path of these segments; nothing in a name can reach outside its segment."""
    return "/" + "/".join(map(_quoted, segments))


@lru_cache(maxsize=4096)
def _quoted(segment: str) -> str:
    return quote(segment, safe="")


class KubeClient:
    """Requests to the API server, from one event loop."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        user_agent: str,
        request_seconds: float = REQUEST_SECONDS,
        answered: Callable[[str, int, float], None] = lambda _verb, _status, _seconds: None,
        clock: ClusterClock | None = None,
    ) -> None:
        """`answered` is told of each answer: verb, status (0 for none) and seconds; `clock` of its date."""
        self._configuration = configuration
        self._user_agent = user_agent
        self._host = configuration.host.rstrip("/")
        self._answered = answered
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=request_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        configuration = self._configuration
        # The package reads the authority and the client's certificate. Its own way to send a request walks through each
        # body twice, once to make JSON of it in Python: half of what a request costs.
        trust = RESTClientObject(configuration).ssl_context
        connector = aiohttp.TCPConnector(limit=configuration.connection_pool_maxsize, ssl=trust)
        # A proxy between a controller and its API server is never meant when a node's environment has it.
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "User-Agent": self._user_agent},
            proxy=configuration.proxy,
            timeout=self._timeout,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str) -> Json:
        return await self._request("GET", url)

    async def post(self, url: str, body: Json) -> Json:
        return await self._request("POST", url, body=body)

    async def put(self, url: str, body: Json) -> Json:
        return await self._request("PUT", url, body=body)

    async def patch(self, url: str, body: Json) -> Json:
        return await self._request("PATCH", url, body=body, content_type=MERGE_PATCH)

    async def json_patch(self, url: str, operations: list[Json]) -> Json:
        """Raises Refused where a `test` among the operations fails."""
        return await self._request("PATCH", url, body=operations, content_type=JSON_PATCH)

    async def delete(self, url: str, body: Json) -> Json:
        return await self._request("DELETE", url, body=body)

    @asynccontextmanager
    async def lines(self, url: str, *, silent_seconds: float) -> AsyncIterator[AsyncIterable[bytes]]:
        """What the API server goes on to say, line by line, until it ends it.

        Raises Unavailable where the connection breaks, and Silent where nothing is said for so long.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=silent_seconds)
        try:
            async with await self._ask("GET", url, timeout=timeout, read_bufsize=LONGEST_LINE) as response:
                if response.status != HTTPStatus.OK:
                    raise error_from(response.status, await response.text())
                yield response.content
        except aiohttp.SocketTimeoutError as error:
            raise Silent(f"GET {url}: nothing was said for {silent_seconds:g} s", status=0) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"GET {url}: {error or type(error).__name__}", status=0) from error

    async def _request(
        self,
        method: str,
        url: str,
        *,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        asked_at = time.monotonic()
        sent = None if body is None else to_json(body)
        try:
            response = await self._ask(method, url, data=sent, headers={"Content-Type": content_type})
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._answered(method, 0, time.monotonic() - asked_at)
            raise Unavailable(f"{method} {url}: {error or type(error).__name__}", status=0) from error
        self._answered(method, response.status, time.monotonic() - asked_at)
        failed = None if 200 <= response.status <= 299 else error_from(response.status, text.decode())
        # What is no answer of the API server's own has another clock's date.
        if self._clock is not None and not isinstance(failed, Unavailable):
            self._clock.answered(response.headers.get("Date", ""), asked_at=asked_at)
        if failed is not None:
            raise failed
        parsed: Json = from_json(text)
        return parsed

    async def _ask(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - of aiohttp
        if self._session is None:
            raise RuntimeError("a client is used within its context")
        headers = options.pop("headers", {})
        # A service account's token is renewed in its file; who reads it is the package.
        key = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if key:
            headers["Authorization"] = key
        full_url = URL(self._host + url, encoded=True)
        return await self._session.request(
            method, full_url, headers=headers, server_hostname=self._configuration.tls_server_name, **options
        )
