// SPDX-License-Identifier: Apache-2.0
// A loaded engine: the factory that the published interface exports, and the extended C API where there is one.
#ifndef CLOUD_RECORDING_SHIM_ENGINE_H
#define CLOUD_RECORDING_SHIM_ENGINE_H

#include <cstdint>

#include "IAgoraCloudRecording.h"
#include "cloud_recording.h"
#include "shim.h"

namespace shim {

// All of it or nothing: an engine that tells a version but lacks a function is refused when it is opened. Functions
// that came later are null with an engine of an earlier release.
struct ExtendedApi {
  decltype(&cr_configure_next) configure_next = nullptr;
  decltype(&cr_status) status = nullptr;
  decltype(&cr_set_layout) set_layout = nullptr;
  decltype(&cr_set_layout_by_identity) set_layout_by_identity = nullptr;
  decltype(&cr_set_paused) set_paused = nullptr;
  decltype(&cr_set_storage) set_storage = nullptr;
  decltype(&cr_set_streams) set_streams = nullptr;
  decltype(&cr_wait_drained) wait_drained = nullptr;
  decltype(&cr_rescue) rescue = nullptr;
  decltype(&cr_merge) merge = nullptr;
};

}  // namespace shim

struct shim_engine {
  decltype(&agora::cloud_recording::CreateCloudRecorderInstance) create = nullptr;
  std::uint32_t api_version = 0;
  shim::ExtendedApi extended;
};

#endif
