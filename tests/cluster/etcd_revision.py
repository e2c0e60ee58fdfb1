# SPDX-License-Identifier: Apache-2.0
"""The revision of an etcd, from which resource versions are taken, asked of etcd itself."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urlsplit

_KEY = base64.b64encode(b"revision").decode()


def revision_of(url: str) -> int:
    """The one that this etcd is at."""
    with closing(_connection(url)) as connection:
        return _asked(connection, "range", {"key": _KEY})


def go_beyond(url: str, revision: int) -> None:
    """Has the etcd go past that revision, and forget how it came there.

    As `etcdutl snapshot restore` does with `--bump-revision` and `--mark-compacted`: whoever watches from a revision of
    before is told that it is gone, and lists anew.
    """
    with closing(_connection(url)) as connection:
        reached = 0
        while reached <= revision:
            reached = _asked(connection, "put", {"key": _KEY, "value": _KEY})
        _asked(connection, "compaction", {"revision": reached})


def _connection(url: str) -> http.client.HTTPConnection:
    address = urlsplit(url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)


def _asked(connection: http.client.HTTPConnection, what: str, request: Mapping[str, object]) -> int:
    """The revision after the request."""
    connection.request("POST", f"/v3/kv/{what}", json.dumps(request), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == http.client.OK, text
    return int(json.loads(text)["header"]["revision"])
