# SPDX-License-Identifier: Apache-2.0
"""Runs one part of a recording: a supervisor that reports and obeys, and the recorder process that holds the engine.

The engine is any shared library with the published C++ interface. It lives in a process of its own, so that its death
is an event and not the end; only `engine` touches the native binding, and only `recorder` (standard library and cffi
alone, for its memory budget) loads it. What is decided is decided by `plan`, a pure function from state and event.
"""
