// SPDX-License-Identifier: Apache-2.0
// The one place where a C++ failure becomes a C result.
#ifndef CLOUD_RECORDING_SHIM_FIREWALL_H
#define CLOUD_RECORDING_SHIM_FIREWALL_H

#include <cstddef>
#include <cstdint>
#include <exception>

#include "shim.h"

namespace shim {

// Copies as much as fits, always terminated, and never half a UTF-8 character.
void copy_text(char *target, std::size_t size, const char *source) noexcept;

// Fills `error` (when there is one) and returns `result`.
int fail(shim_error *error, shim_result result, const char *text, std::int32_t engine_code = 0) noexcept;

// Runs `body`, which returns a result; whatever it or the engine throws becomes SHIM_INTERNAL.
template <typename Body>
int guarded(shim_error *error, const Body &body) noexcept {
  try {
    return body();
  } catch (const std::exception &failure) {
    return fail(error, SHIM_INTERNAL, failure.what());
  } catch (...) {
    return fail(error, SHIM_INTERNAL, "the engine threw something that is no std::exception");
  }
}

}  // namespace shim

#endif
