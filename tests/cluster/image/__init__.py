# SPDX-License-Identifier: Apache-2.0
"""Builds the images that the cluster runs, without a daemon and without a registry.

`python -m tests.cluster.image build-all` leaves archives in build/images; what did not change costs nothing.
"""
