// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <dlfcn.h>

#include <memory>
#include <string>

#include "firewall.h"

namespace {

// CreateCloudRecorderInstance has C++ linkage: this is its name in the Itanium ABI.
constexpr const char *kFactory =
    "_ZN5agora15cloud_recording27CreateCloudRecorderInstanceEPNS0_22ICloudRecorderObserverE";
constexpr std::uint32_t kKnownApi = 1;

template <typename Function>
bool find(void *library, const char *name, Function *function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

int load_extended(void *library, shim_engine *engine, shim_error *error) {
  decltype(&cr_api_version) version = nullptr;
  if (!find(library, "cr_api_version", &version)) {
    return SHIM_OK;
  }
  engine->api_version = version();
  if (engine->api_version != kKnownApi) {
    const std::string text = "the engine's extended API has version " + std::to_string(engine->api_version) +
                             ", this program knows " + std::to_string(kKnownApi) +
                             ": install an engine and a runner of the same release";
    return shim::fail(error, SHIM_LOAD_FAILED, text.c_str());
  }
  shim::ExtendedApi &api = engine->extended;
  const bool complete = find(library, "cr_configure_next", &api.configure_next) &&
                        find(library, "cr_status", &api.status) && find(library, "cr_set_layout", &api.set_layout) &&
                        find(library, "cr_set_paused", &api.set_paused) &&
                        find(library, "cr_set_storage", &api.set_storage) &&
                        find(library, "cr_wait_drained", &api.wait_drained) && find(library, "cr_rescue", &api.rescue);
  find(library, "cr_set_streams", &api.set_streams);
  find(library, "cr_set_layout_by_identity", &api.set_layout_by_identity);
  find(library, "cr_merge", &api.merge);
  return complete ? SHIM_OK : shim::fail(error, SHIM_LOAD_FAILED, "the engine's extended API is not complete");
}

int load(const char *path, shim_engine *engine, shim_error *error) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return shim::fail(error, SHIM_LOAD_FAILED, dlerror());
  }
  if (!find(library, kFactory, &engine->create)) {
    const std::string text = std::string(path) + " is no engine: it does not export " +
                             "agora::cloud_recording::CreateCloudRecorderInstance";
    return shim::fail(error, SHIM_LOAD_FAILED, text.c_str());
  }
  return load_extended(library, engine, error);
}

int engine_answer(int code, shim_error *error, const char *text) {
  return code == 0 ? SHIM_OK : shim::fail(error, SHIM_REFUSED, text, code);
}

int unsupported(shim_error *error) {
  return shim::fail(error, SHIM_UNSUPPORTED, "this engine has only the published interface");
}

}  // namespace

int shim_engine_open(const char *path, shim_engine **engine, shim_error *error) {
  return shim::guarded(error, [&] {
    auto opened = std::make_unique<shim_engine>();
    const int result = load(path, opened.get(), error);
    if (result == SHIM_OK) {
      *engine = opened.release();
    }
    return result;
  });
}

void shim_engine_free(shim_engine *engine) { delete engine; }

uint32_t shim_engine_api_version(const shim_engine *engine) { return engine->api_version; }

int shim_engine_status(const shim_engine *engine, const char *recording_id, char *buffer, size_t size, size_t *needed,
                       shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    const std::int64_t length = engine->extended.status(recording_id, buffer, size);
    if (length < 0) {
      return shim::fail(error, SHIM_REFUSED, "the engine knows no such recording");
    }
    *needed = static_cast<std::size_t>(length);
    return static_cast<int>(SHIM_OK);
  });
}

int shim_engine_set_layout(const shim_engine *engine, const char *recording_id, int32_t layout,
                           uint32_t max_resolution_uid, shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    return engine_answer(engine->extended.set_layout(recording_id, layout, max_resolution_uid), error,
                         "the engine refused the layout");
  });
}

int shim_engine_set_layout_by_identity(const shim_engine *engine, const char *recording_id, int32_t layout,
                                       const char *max_resolution_identity, shim_error *error) {
  if (engine->extended.set_layout_by_identity == nullptr) {
    return shim::fail(error, SHIM_UNSUPPORTED, "this engine knows no participants by identity");
  }
  return shim::guarded(error, [&] {
    return engine_answer(engine->extended.set_layout_by_identity(recording_id, layout, max_resolution_identity), error,
                         "the engine refused the layout");
  });
}

int shim_engine_set_paused(const shim_engine *engine, const char *recording_id, int32_t paused, shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    return engine_answer(engine->extended.set_paused(recording_id, paused), error,
                         paused != 0 ? "the engine refused to pause" : "the engine refused to go on");
  });
}

int shim_engine_set_storage(const shim_engine *engine, const char *recording_id, const char *place, shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    char reason[sizeof error->text] = "";
    const int code = engine->extended.set_storage(recording_id, place, reason, sizeof reason);
    return engine_answer(code, error, reason);
  });
}

int shim_engine_set_streams(const shim_engine *engine, const char *recording_id, const char *streams,
                            shim_error *error) {
  if (engine->extended.set_streams == nullptr) {
    return shim::fail(error, SHIM_UNSUPPORTED, "this engine does not change the channel's streams while it records");
  }
  return shim::guarded(error, [&] {
    char reason[sizeof error->text] = "";
    const int code = engine->extended.set_streams(recording_id, streams, reason, sizeof reason);
    return engine_answer(code, error, reason);
  });
}

int shim_engine_wait_drained(const shim_engine *engine, uint32_t timeout_ms, shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    const bool drained = engine->extended.wait_drained(timeout_ms) == 1;
    return drained ? static_cast<int>(SHIM_OK) : shim::fail(error, SHIM_REFUSED, "the engine is still uploading");
  });
}

int shim_engine_rescue(const shim_engine *engine, const char *configuration, shim_error *error) {
  if (engine->api_version == 0) {
    return unsupported(error);
  }
  return shim::guarded(error, [&] {
    char reason[sizeof error->text] = "";
    const int code = engine->extended.rescue(configuration, reason, sizeof reason);
    return engine_answer(code, error, reason);
  });
}

int shim_engine_merge(const shim_engine *engine, const char *configuration, char *answer, size_t size,
                      shim_error *error) {
  if (engine->extended.merge == nullptr) {
    return shim::fail(error, SHIM_UNSUPPORTED, "this engine makes no playlist over several parts");
  }
  return shim::guarded(error, [&] {
    const int code = engine->extended.merge(configuration, answer, size);
    return engine_answer(code, error, "the parts were not merged");
  });
}
