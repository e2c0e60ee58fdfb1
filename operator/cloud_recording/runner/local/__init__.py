# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording run`: records a manifest on this machine, with the pods' supervisor and a terminal for operator."""
