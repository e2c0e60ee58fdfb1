# SPDX-License-Identifier: Apache-2.0
"""Short recordings under faults and kills by a seed, and an oracle that holds what is left to what was promised."""
