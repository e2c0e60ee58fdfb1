# SPDX-License-Identifier: Apache-2.0
"""The contracts of the product, as types: the resources people write, and what operator and runner tell each other.

This layer knows nothing of Kubernetes clients, of decisions or of processes. `crds/`, the chart's copy of it and
`docs/reference/` are generated from it, so a field is described once.
"""
