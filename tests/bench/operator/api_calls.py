# SPDX-License-Identifier: Apache-2.0
"""How often the API server was asked for what concerns recordings, by its own count."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.client import Kubectl

_RESOURCES = frozenset({"cloudrecordings", "pods", "podtemplates", "persistentvolumeclaims", "events", "tokenreviews"})
_WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
_COUNTED = re.compile(r"^apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)$", re.MULTILINE)
_CPU = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, order=True)
class Call:
    """One kind of request."""

    verb: str
    resource: str
    subresource: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.resource, self.subresource)))

    @property
    def is_write(self) -> bool:
        return self.verb in _WRITES and self.resource != "tokenreviews"


class ApiCalls:
    """Counts the calls between two moments, less those that the measurement itself makes."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubectl = Kubectl(kubeconfig)
        self._own: Counter[Call] = Counter()

    def own(self, verb: str, resource: str, subresource: str = "", *, count: int = 1) -> None:
        """The measurement makes such calls itself."""
        self._own[Call(verb, resource, subresource)] += count

    def server_cpu_seconds(self) -> float:
        """Processor time of the API server since its start."""
        told = _CPU.search(self._kubectl("get", "--raw", "/metrics"))
        assert told is not None
        return float(told[1])

    def now(self) -> Counter[Call]:
        """All calls so far but the measurement's own."""
        found: Counter[Call] = Counter()
        for line in _COUNTED.finditer(self._kubectl("get", "--raw", "/metrics")):
            labels = dict(_LABEL.findall(line["labels"]))
            if labels["resource"] in _RESOURCES and labels["verb"] not in ("WATCH", "CONNECT"):
                found[Call(labels["verb"], labels["resource"], labels["subresource"])] += round(float(line["count"]))
        found.subtract(self._own)
        return found
