# SPDX-License-Identifier: Apache-2.0
"""A long recording of live sources whose clocks drift, measured from its beginning to its end."""
