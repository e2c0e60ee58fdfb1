# SPDX-License-Identifier: Apache-2.0
"""What many recordings cost the operator: `make bench-operator N=500`."""
