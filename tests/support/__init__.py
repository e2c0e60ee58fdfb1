# SPDX-License-Identifier: Apache-2.0
"""What several kinds of tests share: servers to start, and media to look at and listen to."""
