# SPDX-License-Identifier: Apache-2.0
"""The only user of the Kubernetes client: reads and writes objects, and decides nothing.

Objects travel as the JSON they are. The client's generated models would cost a parse of every field of every pod and
would lose the ones that are newer than they. So the package says how to reach the API server and proves who asks, and
the requests themselves are made without it.
"""
