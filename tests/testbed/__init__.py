# SPDX-License-Identifier: Apache-2.0
"""What plays the outside world in tests and demo: live participants, an RTMP server, an S3 server."""
