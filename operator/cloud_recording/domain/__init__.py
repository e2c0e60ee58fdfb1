# SPDX-License-Identifier: Apache-2.0
"""What the operator decides, as pure functions: no clock, no network, no client, no Kopf.

Time comes in as a parameter, objects come in as values, and what is to be done goes out as a value.
"""
