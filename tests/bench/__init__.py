# SPDX-License-Identifier: Apache-2.0
"""Measurements that are quoted in docs/benchmarks.md; nothing here is a test."""
