// SPDX-License-Identifier: Apache-2.0
#include "firewall.h"

#include <cstring>

namespace shim {

void copy_text(char *target, std::size_t size, const char *source) noexcept {
  if (size == 0) {
    return;
  }
  if (source == nullptr) {
    source = "";
  }
  std::size_t length = strnlen(source, size);
  if (length == size) {
    --length;
    while (length > 0 && (static_cast<unsigned char>(source[length]) & 0xC0U) == 0x80U) {
      --length;
    }
  }
  std::memcpy(target, source, length);
  target[length] = '\0';
}

int fail(shim_error *error, shim_result result, const char *text, std::int32_t engine_code) noexcept {
  if (error != nullptr) {
    error->engine_code = engine_code;
    copy_text(error->text, sizeof error->text, text);
  }
  return result;
}

}  // namespace shim
