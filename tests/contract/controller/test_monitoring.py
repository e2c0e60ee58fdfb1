# SPDX-License-Identifier: Apache-2.0
"""Alerts and dashboard of the chart against what a running operator tells a Prometheus."""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp
import pytest

from cloud_recording.controller.callback_listener import Limits
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage
from tests.support.monitoring import OF_RECORDERS, Exposition, alerts_of, asked_names, panels, rendered

Json = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> list[Json]:
    return rendered()


@pytest.fixture
def alerts(objects: list[Json]) -> list[Json]:
    return alerts_of(objects)


@pytest.fixture
def dashboard(objects: list[Json]) -> Json:
    (found,) = [one for one in objects if one["metadata"]["name"].endswith("-dashboard")]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = found["data"].values()
    parsed: Json = json.loads(text)
    return parsed


async def exposition_of(operator: OperatorProcess) -> str:
    async with (
        aiohttp.ClientSession(f"http://localhost:{operator.http_port}") as session,
        session.get("/metrics") as answer,
    ):
        return await answer.text()


async def test_alerts_and_dashboard_ask_for_what_the_operator_tells(
    stage: Stage, operator: OperatorProcess, alerts: list[Json], dashboard: Json
) -> None:
    """Also before anything failed: what is told from its first failure on has no rate then."""
    await stage.apply()
    await stage.new_pod()
    told = Exposition(await exposition_of(operator))
    missing = {one["alert"]: told.lacks(one["expr"]) for one in alerts if OF_RECORDERS not in one["expr"]}
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if OF_RECORDERS not in target["expr"]:
                missing[f"{panel['title']}: {target['legendFormat']}"] = told.lacks(
                    target["expr"], legend=target["legendFormat"]
                )
    assert {title: names for title, names in missing.items() if names} == {}
    assert len(missing) > len(alerts)


async def test_the_dashboard_shows_every_metric_of_the_operator(
    stage: Stage, operator: OperatorProcess, dashboard: Json
) -> None:
    await stage.apply()
    await stage.new_pod()
    families = re.findall(r"^# TYPE (cloudrecording_\w+)", await exposition_of(operator), re.MULTILINE)
    shown = asked_names(target["expr"] for panel in panels(dashboard) for target in panel["targets"])
    known = {name for name in families if not name.endswith("_created")}
    assert {name for name in known if not any(one.startswith(name) for one in shown)} == set()


def test_an_alert_says_what_is_and_what_to_do(alerts: list[Json]) -> None:
    for alert in alerts:
        assert alert["annotations"].keys() == {"summary", "description"}, alert["alert"]
    named = asked_names(alert["annotations"]["description"] for alert in alerts)
    assert named == {
        "cloudrecording_api_request_duration_seconds",
        "cloudrecording_api_requests_total",
        "process_cpu_seconds_total",
    }
    (refused,) = [alert for alert in alerts if alert["alert"] == "CloudRecordingConnectionsRefused"]
    limits = Limits()
    for limit in (limits.connections, limits.connections_of_an_address):
        assert f" {limit} " in refused["annotations"]["description"]


def test_the_dashboard_is_one_that_grafana_takes(dashboard: Json) -> None:
    """Panels have numbers of their own and do not lie on each other, and variables that are named are defined."""
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [
        (x, y)
        for panel in everything
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert used - {"__rate_interval", "__all"} == defined
