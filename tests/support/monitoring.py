# SPDX-License-Identifier: Apache-2.0
"""What expressions in PromQL ask of a Prometheus, held against what a process tells it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.client import Helm
from tests.cluster.layout import REPOSITORY

Json = dict[str, Any]

CHART = REPOSITORY / "charts" / "cloud-recording"
DASHBOARD = CHART / "dashboards" / "cloud-recording.json"
OF_RECORDERS = "cloudrecording_runner_"
OF_THE_TARGET = frozenset({"namespace", "service", "pod", "job"})
"""Labels that the Prometheus adds to all that it reads of a target."""

_SELECTED = re.compile(r"\b(?P<name>(?:cloudrecording|process)_\w+)\b(?:\{(?P<labels>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)=~?"(?P<value>[^"]*)"')
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_SHOWN = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def rendered() -> list[Json]:
    """The chart's objects, those for the Prometheus operator and Grafana among them."""
    values = ("--set=metrics.prometheusRule.enabled=true", "--set=metrics.dashboard.enabled=true")
    text = Helm(None)("template", "cloud-recording", str(CHART), "--namespace=here", *values)
    return [document for document in yaml.safe_load_all(text) if document]


def alerts_of(objects: list[Json]) -> list[Json]:
    """The alerts among the chart's objects."""
    (rule,) = [one for one in objects if one["kind"] == "PrometheusRule"]
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def panels(dashboard: Json) -> Iterator[Json]:
    """What is shown on a dashboard of Grafana, but for headings."""
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


class Exposition:
    """What one process tells."""

    def __init__(self, text: str) -> None:
        self._samples = [one for family in text_string_to_metric_families(text) for one in family.samples]

    def lacks(self, expression: str, *, legend: str = "") -> list[str]:
        """What the expression asks for and nobody tells: metrics, labels, and values of labels."""
        return list(self._missing(expression, legend))

    def _missing(self, expression: str, legend: str) -> Iterator[str]:
        labels: set[str] = set()
        for selected in _SELECTED.finditer(expression):
            samples = [one.labels for one in self._samples if one.name == selected["name"]]
            if not samples:
                yield selected["name"]
            labels.update(*samples)
            for label, value in _MATCHER.findall(selected["labels"] or ""):
                if label not in OF_THE_TARGET and value not in {one.get(label) for one in samples}:
                    yield f'{selected["name"]}{{{label}="{value}"}}'
        grouped = {name.strip() for listed in _GROUPED.findall(expression) for name in listed.split(",")}
        shown = set(_SHOWN.findall(legend))
        yield from sorted((grouped | shown) - labels - OF_THE_TARGET)
        if grouped:
            yield from sorted(shown - grouped)


def asked_names(expressions: Iterable[str]) -> set[str]:
    """The metrics that the expressions ask for."""
    return {selected["name"] for expression in expressions for selected in _SELECTED.finditer(expression)}
