# SPDX-License-Identifier: Apache-2.0
"""The process that holds the engine: loads its library, gives it its job, and writes down what it calls back.

Its memory counts for each recording, so it imports the standard library and the native binding alone; only `engine`
touches that binding.
"""
