# SPDX-License-Identifier: Apache-2.0
"""How often the kubelet asks a recorder's pod how it is: the pod is made with it, and its supervisor ends by it."""

from typing import Final

READINESS_PERIOD_SECONDS: Final = 2
LIVENESS_PERIOD_SECONDS: Final = 10
