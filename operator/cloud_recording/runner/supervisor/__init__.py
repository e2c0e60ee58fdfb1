# SPDX-License-Identifier: Apache-2.0
"""The process that reports to the operator, obeys it, and keeps a recorder process at work.

`state_machine` decides, a pure function from state and event to actions; `supervisor` is the world around it, `main`
the program. It never loads the engine: a library that crashes must not take the part's account of itself along.
"""
