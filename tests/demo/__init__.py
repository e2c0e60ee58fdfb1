# SPDX-License-Identifier: Apache-2.0
"""The demo: a live channel is recorded on a real cluster, and the result is fetched, checked and shown."""
