# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording merge`: one playlist over all parts of a recording, put beside theirs."""
