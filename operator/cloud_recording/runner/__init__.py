# SPDX-License-Identifier: Apache-2.0
"""Runs one part of a recording in two processes: `supervisor` reports and obeys, `recorder` holds the engine.

The engine is any shared library with the published C++ interface. It lives in a process of its own, so that its death
is an event and not the end. Beside the two rooms is what both use: the messages between them (`control_protocol`), the
queue of callbacks on disk (`outbox`) and `process_log`. `local` runs the same two processes for a person at a terminal,
and `probe` the recorder alone, to try a store.
"""
