# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording probe`: whether a RecordingStorage takes files, tried as a recording would."""
