# SPDX-License-Identifier: Apache-2.0
"""What the operator costs with thousands of recordings: `make bench-operator N=10000`."""
