# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster of one node for the tests and the demo, with nothing but processes of this machine.

`python -m tests.cluster up` starts it, `down` removes every trace of it. All of it lives in a sandbox of namespaces
(`sandbox`), so that addresses, mounts, firewall rules and processes never meet the machine's own and end with one kill.
"""
