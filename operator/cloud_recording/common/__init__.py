# SPDX-License-Identifier: Apache-2.0
"""What operator and runner need alike and what is no part of the API; it knows nothing of either."""
