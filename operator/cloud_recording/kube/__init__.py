# SPDX-License-Identifier: Apache-2.0
"""The only user of the Kubernetes client: reads and writes objects, and decides nothing.

Objects travel as the JSON they are. The client's generated models would cost a parse of every field of every pod and
would lose the ones that are newer than they, so requests go through its `ApiClient` without them.
"""
