# SPDX-License-Identifier: Apache-2.0
"""An admission webhook for the pods of one namespace, as an administrator's policy is."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import web

from cloud_recording.controller.certificates import Lifetimes, new_authority, new_serving
from cloud_recording.kube.client import path
from tests.contract.controller.stage import Stage
from tests.support.ports import free_port

Json = dict[str, Any]

NAME = "pods.example.com"


class AdmissionWebhook:
    """Takes what it is asked about unless told otherwise; as long as it does not serve, it refuses connections."""

    def __init__(self) -> None:
        self.denies: str | None = None
        """The words with which it denies everything."""
        self.adds: list[Json] = []
        """The JSON patch that it makes of each new pod."""
        self._port = free_port()
        now, lifetimes = datetime.now(UTC), Lifetimes()
        self._authority = new_authority(now=now, lifetimes=lifetimes)
        self._pair = new_serving(self._authority, hosts=["127.0.0.1"], now=now, lifetimes=lifetimes)

    @classmethod
    @asynccontextmanager
    async def registered(cls, stage: Stage, *, mutating: bool = False) -> AsyncIterator[Self]:
        """One that the API server asks, as soon as it has heard of it."""
        webhook = cls()
        kind = "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration"
        group = path("apis", "admissionregistration.k8s.io", "v1", kind.lower() + "s")
        await stage.client.post(group, webhook._configuration(stage, kind))
        try:
            yield webhook
        finally:
            await stage.client.delete(group + path(stage.namespace), {})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """As long as it lasts, it answers."""
        application = web.Application()
        application.router.add_post("/", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self._pair.certificate + self._pair.key)
            file.flush()
            context.load_cert_chain(file.name)
        await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=context).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        answer: Json = {"uid": asked["uid"], "allowed": self.denies is None}
        if self.denies is not None:
            answer["status"] = {"message": self.denies}
        elif self.adds and asked["operation"] == "CREATE":
            answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(self.adds).encode()).decode()}
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer})

    def _configuration(self, stage: Stage, kind: str) -> Json:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE", "UPDATE"]}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": stage.namespace},
            "webhooks": [
                {
                    "name": NAME,
                    "clientConfig": {
                        "url": f"https://127.0.0.1:{self._port}/",
                        "caBundle": base64.b64encode(self._authority.certificate).decode(),
                    },
                    "rules": [rule],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "timeoutSeconds": 5,
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
