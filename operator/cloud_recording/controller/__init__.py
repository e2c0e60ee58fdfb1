# SPDX-License-Identifier: Apache-2.0
"""The running operator: a watch sees, a queue works, a server hears the recorders. The only user of Kopf."""
