# SPDX-License-Identifier: Apache-2.0
"""Records real-time channels on Kubernetes: one CloudRecording, one pod, TS slices in the user's bucket."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cloud-recording")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0+source"
