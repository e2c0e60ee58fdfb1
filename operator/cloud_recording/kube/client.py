# SPDX-License-Identifier: Apache-2.0
"""One connection to the API server that speaks JSON and raises the errors of `errors.py`.

Every request has a deadline, because a request that hangs would keep its key out of the work-queue for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client import Configuration as Configuration  # noqa: PLC0414 - for users of this module
from pydantic_core import from_json

from cloud_recording.common.json_types import Json
from cloud_recording.kube.cluster_clock import ClusterClock
from cloud_recording.kube.errors import Unavailable, error_from

MERGE_PATCH: Final = "application/merge-patch+json"
REQUEST_SECONDS: Final = 30.0
"""Longer than the API server's own slow answers; a request that takes longer is given up and tried again."""


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
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


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
        # A proxy between a controller and its API server is never meant, only inherited from a node's environment.
        configuration.client_session_kwargs = {"trust_env": False}
        self._api = ApiClient(configuration)
        self._api.user_agent = user_agent
        self._answered = answered
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=request_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    async def get(self, url: str) -> Json:
        return await self._request("GET", url)

    async def post(self, url: str, body: Json) -> Json:
        return await self._request("POST", url, body=body)

    async def put(self, url: str, body: Json) -> Json:
        return await self._request("PUT", url, body=body)

    async def patch(self, url: str, body: Json) -> Json:
        return await self._request("PATCH", url, body=body, content_type=MERGE_PATCH)

    async def delete(self, url: str, body: Json) -> Json:
        return await self._request("DELETE", url, body=body)

    async def _request(
        self,
        method: str,
        url: str,
        *,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        # The body is JSON already; the client would walk through all of it once more to make it so.
        _, full_url, headers, *_ = await self._api.param_serialize(
            method,
            url,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        asked_at = time.monotonic()
        try:
            response = await self._api.call_api(method, full_url, headers, body, _request_timeout=self._timeout)
            text: bytes = await response.read()  # type: ignore[no-untyped-call]
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
