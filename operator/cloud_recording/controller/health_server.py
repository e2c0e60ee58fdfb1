# SPDX-License-Identifier: Apache-2.0
"""`/healthz`, `/readyz` and `/metrics`: alive means that work moves, ready means that recorders are heard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from cloud_recording.controller.metrics import Metrics

Check = Callable[[], str | None]
"""Says what is wrong, or nothing."""


def application(*, metrics: Metrics, healthy: Check, ready: Check) -> web.Application:
    """The plain HTTP server for the kubelet and for Prometheus."""

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": metrics.content_type})

    served = web.Application()
    served.router.add_get("/healthz", _answering(healthy))
    served.router.add_get("/readyz", _answering(ready))
    served.router.add_get("/metrics", exposition)
    return served


def _answering(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        wrong = check()
        return web.Response(text="ok\n") if wrong is None else web.Response(text=f"{wrong}\n", status=503)

    return answer
