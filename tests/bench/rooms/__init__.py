# SPDX-License-Identifier: Apache-2.0
"""What the recording of a LiveKit room costs, and how soon it is there. Publishers and server are counted apart."""
