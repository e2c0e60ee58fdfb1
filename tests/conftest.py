# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every directory of tests may ask for; none of them does anything before it is asked for."""

import asyncio

pytest_plugins = ["tests.cluster.fixtures"]


def pytest_configure() -> None:
    """Leaves the main thread without an event loop until a test has one.

    looptime asks for the current loop before each test, synchronous ones too, and Python 3.11 then makes one that
    nobody closes; the warning about it fails whatever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
