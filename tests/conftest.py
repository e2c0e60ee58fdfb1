# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every directory of tests may ask for; none of them does anything before it is asked for."""

pytest_plugins = ["tests.cluster.fixtures"]
