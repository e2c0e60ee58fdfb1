# SPDX-License-Identifier: Apache-2.0
"""Makes `python -m cloud_recording` the same as the console script."""

import sys

from cloud_recording.cli import main

if __name__ == "__main__":
    sys.exit(main())
