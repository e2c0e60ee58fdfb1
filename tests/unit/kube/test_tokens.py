# SPDX-License-Identifier: Apache-2.0
"""Whose token it is, on nobody's word but the API server's, and for nobody's ears but ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_recording.kube.errors import Conflict, KubeError, NotFound, Refused, Unavailable, error_from
from cloud_recording.kube.tokens import PodIdentity, _identity

AUDIENCE = "callbacks.cloudrecording.dev"
POD = {
    "authentication.kubernetes.io/pod-name": ["stand-up-p0"],
    "authentication.kubernetes.io/pod-uid": ["u-1"],
}


def review(**changes: Any) -> dict[str, Any]:
    user = {"username": "system:serviceaccount:meetings:default", "extra": POD, **changes.pop("user", {})}
    return {"authenticated": True, "audiences": [AUDIENCE], "user": user, **changes}


def test_a_pods_token_is_its_pods() -> None:
    expected = PodIdentity(namespace="meetings", name="stand-up-p0", uid="u-1")
    assert _identity(review(), audience=AUDIENCE) == expected


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="nothing-said"),
        pytest.param(review(authenticated=False), id="not-authenticated"),
        pytest.param(review(audiences=[]), id="no-audience"),
        pytest.param(review(audiences=["https://kubernetes.default.svc"]), id="a-token-for-the-api-server"),
        pytest.param(review(user={"extra": {}}), id="a-token-that-is-bound-to-no-pod"),
        pytest.param(review(user={"username": "alice"}), id="a-person"),
        pytest.param(review(user={"username": "system:node:n1"}), id="a-node"),
    ],
)
def test_any_other_token_is_nobodys(status: dict[str, Any]) -> None:
    assert _identity(status, audience=AUDIENCE) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (409, Conflict), (403, Refused), (422, Refused), (429, Unavailable), (503, Unavailable)],
)
def test_refusals_are_told_apart_and_keep_the_api_servers_words(status: int, kind: type[KubeError]) -> None:
    said = {"kind": "Status", "apiVersion": "v1", "message": "exceeded quota: pods", "details": {"name": "p"}}
    error = error_from(status, json.dumps(said))
    assert (type(error), error.message) == (kind, "exceeded quota: pods")
    assert error_from(status, "<html>gateway</html>").message == "<html>gateway</html>"
