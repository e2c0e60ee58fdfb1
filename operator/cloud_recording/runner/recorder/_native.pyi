# SPDX-License-Identifier: Apache-2.0
# The extension that native_build.py compiles. Only engine.py imports it, and gives everything in it a type.
from typing import Any

ffi: Any
lib: Any
