# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording run`: records URLs or a manifest here, with the pods' supervisor and a terminal for operator."""
