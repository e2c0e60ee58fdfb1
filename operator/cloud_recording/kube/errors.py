# SPDX-License-Identifier: Apache-2.0
"""What the API server's refusals mean to us; a caller catches the one it has an answer to and lets the others go.

KubeError
├── NotFound        404, in a Status that names it: the object is not there
├── Conflict        409: it changed since it was read, or exists already
├── Refused         403, 400 or 422: asking the same again has the same answer until somebody changes something
└── Unavailable     429, 5xx, a timeout, no connection, or any answer that is not the API server's own: the same request
    │               may succeed later
    ├── InternalError   500 for a reason that the API server has words for, mostly a webhook that it asks in vain
    └── Silent          a watch that does not even say that it is alive

What stands between us and the API server may answer, too, for example a proxy with a page for 404. What the API server
says is a Status object; only from such a one anything follows for pods and recordings.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

NAMESPACE_TERMINATING: Final = "NamespaceTerminating"
"""The cause of a refusal that holds for everything that is to be made in a namespace that is being deleted."""


class KubeError(Exception):
    """The API server did not do what was asked; `message` is its own explanation."""

    def __init__(self, message: str, *, status: int, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = details or {}

    @property
    def causes(self) -> frozenset[str]:
        """The reasons that the API server gives in words for machines, where it does."""
        causes = (self.details.get("details") or {}).get("causes") or []
        return frozenset(str(cause.get("reason")) for cause in causes)

    @property
    def namespace_ends(self) -> bool:
        """Whether nothing can be made in the namespace any more, as it is being deleted: nobody is to do anything."""
        return NAMESPACE_TERMINATING in self.causes


class NotFound(KubeError):  # noqa: N818
    """The object is not there."""


class Conflict(KubeError):  # noqa: N818
    """The object changed since it was read, or one of that name exists already."""


class Refused(KubeError):  # noqa: N818
    """The request as it is will not be accepted: not allowed, over quota, or invalid."""


class Unavailable(KubeError):  # noqa: N818
    """The API server could not answer now."""


class InternalError(Unavailable):
    """The API server is there, but cannot do this one thing until somebody mends what the message names."""


class Silent(Unavailable):
    """The connection stands, and nothing came for longer than there is ever nothing to say."""


def level_of(error: Exception) -> int:
    """How loud a log tells of this failure: of a namespace that ends nobody is to be alarmed."""
    return logging.INFO if isinstance(error, KubeError) and error.namespace_ends else logging.WARNING


def error_from(status: int, body: str) -> KubeError:
    """The error for an answer that is no success, with the message of the Status object in its body."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    details: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    message = str(details.get("message") or body.strip()[:512] or f"HTTP status {status}")
    return _class_of(status, details)(message, status=status, details=details)


def _class_of(status: int, details: dict[str, Any]) -> type[KubeError]:
    if details.get("kind") != "Status" or details.get("apiVersion") != "v1":
        return Unavailable
    # A kind that is not served is not found either, and then no object is named.
    if status in _GONE and not (details.get("details") or {}).get("name"):
        return Unavailable
    if status == 500 and details.get("reason") == "InternalError":
        return InternalError
    return Unavailable if status >= 500 else _CLASSES.get(status, KubeError)


_GONE: Final = frozenset({404, 410})
_CLASSES: Final[dict[int, type[KubeError]]] = {
    **dict.fromkeys(_GONE, NotFound),
    409: Conflict,
    **dict.fromkeys((400, 403, 413, 422), Refused),
    429: Unavailable,
}
