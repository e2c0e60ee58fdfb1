# SPDX-License-Identifier: Apache-2.0
"""What a recording costs, next to the ffmpeg command that does the same and to its decodes and encode alone."""
