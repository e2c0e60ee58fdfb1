// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>

#include "engine.h"
#include "event_queue.h"
#include "firewall.h"
#include "shim.h"

namespace sdk = agora::cloud_recording;

namespace {

std::int64_t now_ms() noexcept {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// Runs on the engine's threads: copies and returns.
class QueueingObserver final : public sdk::ICloudRecorderObserver {
 public:
  explicit QueueingObserver(shim::EventQueue *queue) : queue_(queue) {}

  void OnRecordingConnecting(sdk::RecordingId) noexcept override { push(SHIM_CONNECTING, 0, nullptr); }
  void OnRecordingStarted(sdk::RecordingId) noexcept override { push(SHIM_STARTED, 0, nullptr); }
  void OnRecordingStopped(sdk::RecordingId) noexcept override { push(SHIM_STOPPED, 0, nullptr); }
  void OnRecordingUploaded(sdk::RecordingId, const char *file_name) noexcept override {
    push(SHIM_UPLOADED, 0, file_name);
  }
  void OnRecordingBackedUp(sdk::RecordingId, const char *file_name) noexcept override {
    push(SHIM_BACKED_UP, 0, file_name);
  }
  void OnRecordingUploadingProgress(sdk::RecordingId, unsigned int progress, const char *playlist) noexcept override {
    push(SHIM_UPLOADING_PROGRESS, 0, playlist, progress);
  }
  void OnRecorderFailure(sdk::RecordingId, sdk::RecordingErrorCode code, const char *message) noexcept override {
    push(SHIM_RECORDER_FAILURE, code, message);
  }
  void OnUploaderFailure(sdk::RecordingId, sdk::RecordingErrorCode code, const char *message) noexcept override {
    push(SHIM_UPLOADER_FAILURE, code, message);
  }
  void OnRecordingFatalError(sdk::RecordingId, sdk::RecordingErrorCode code) noexcept override {
    push(SHIM_FATAL_ERROR, code, nullptr);
  }

 private:
  void push(std::int32_t type, int code, const char *text, unsigned int progress = 0) noexcept {
    shim_event event;
    event.type = type;
    event.code = code;
    event.progress = progress;
    event.repeats = 0;
    event.time_ms = now_ms();
    shim::copy_text(event.text, sizeof event.text, text);
    queue_->push(event);
  }

  shim::EventQueue *queue_;
};

template <typename Enum>
bool within(std::int32_t value, Enum last, Enum *target) {
  if (value < 0 || value > static_cast<std::int32_t>(last)) {
    return false;
  }
  *target = static_cast<Enum>(value);
  return true;
}

// The name of the first field whose value the published enumerations do not have, or NULL.
const char *convert(const shim_start &start, sdk::RecordingConfig *recording, sdk::CloudStorageConfig *storage) {
  if (!within(start.stream_types, sdk::kStreamTypeAudioVideo, &recording->recording_stream_types)) {
    return "stream_types";
  }
  if (!within(start.decryption_mode, sdk::kModeAes256Xts, &recording->decryption_mode)) {
    return "decryption_mode";
  }
  if (!within(start.channel_type, sdk::kChannelTypeLive, &recording->channel_type)) {
    return "channel_type";
  }
  if (!within(start.audio_profile, sdk::kAudioProfileMusicHighQualityStereo, &recording->audio_profile)) {
    return "audio_profile";
  }
  if (!within(start.video_stream_type, sdk::kVideoStreamTypeLow, &recording->video_stream_type)) {
    return "video_stream_type";
  }
  sdk::MixedVideoLayoutType layout = sdk::kMixedVideoLayoutTypeFloat;
  if (!within(start.layout, sdk::kMixedVideolayoutTypeVertical, &layout)) {
    return "layout";
  }
  if (!within(start.vendor, sdk::kCloudStorageVendorAliyun, &storage->vendor)) {
    return "vendor";
  }
  // The published structures hold pointers that are not const; no engine may write through them.
  recording->secret = const_cast<char *>(start.secret);
  recording->max_idle_time = start.max_idle_seconds;
  recording->SetTranscodingWidth(start.width);
  recording->SetTranscodingHeight(start.height);
  recording->SetTranscodingFPS(start.frames_per_second);
  recording->SetTranscodingBitrate(start.bitrate_kbps);
  recording->SetTranscodingMixedVideoLayout(layout, start.max_resolution_uid);
  storage->region = start.region;
  storage->bucket = const_cast<char *>(start.bucket);
  storage->access_key = const_cast<char *>(start.access_key);
  storage->secret_key = const_cast<char *>(start.secret_key);
  return nullptr;
}

}  // namespace

// The observer lives as long as the handle, not only until Release: an engine that calls too late meets a closed queue
// instead of freed memory.
struct shim_recorder {
  shim::EventQueue queue;
  QueueingObserver observer{&queue};
  sdk::ICloudRecorder *instance = nullptr;
};

int shim_recorder_create(const shim_engine *engine, const char *configuration, shim_recorder **recorder,
                         shim_error *error) {
  return shim::guarded(error, [&]() -> int {
    auto created = std::make_unique<shim_recorder>();
    if (configuration != nullptr) {
      if (engine->api_version == 0) {
        return shim::fail(error, SHIM_UNSUPPORTED, "this engine takes no configuration document");
      }
      char reason[sizeof error->text] = "";
      const int code = engine->extended.configure_next(configuration, reason, sizeof reason);
      if (code != 0) {
        return shim::fail(error, SHIM_REFUSED, reason, code);
      }
    }
    created->instance = engine->create(&created->observer);
    if (created->instance == nullptr) {
      return shim::fail(error, SHIM_REFUSED, "the engine made no instance");
    }
    *recorder = created.release();
    return SHIM_OK;
  });
}

size_t shim_recorder_id(const shim_recorder *recorder, char *buffer, size_t size) {
  size_t length = 0;
  shim::guarded(nullptr, [&] {
    const char *id = recorder->instance == nullptr ? nullptr : recorder->instance->GetRecordingId();
    length = id == nullptr ? 0 : std::strlen(id);
    shim::copy_text(buffer, size, id);
    return SHIM_OK;
  });
  return length;
}

int shim_recorder_start(shim_recorder *recorder, const shim_start *start, shim_error *error) {
  if (recorder->instance == nullptr) {
    return shim::fail(error, SHIM_RELEASED, "the recorder was released");
  }
  if (start->struct_size != sizeof *start) {
    return shim::fail(error, SHIM_INVALID, "struct_size is not the size of this library's shim_start");
  }
  return shim::guarded(error, [&]() -> int {
    sdk::RecordingConfig recording;
    sdk::CloudStorageConfig storage;
    if (const char *field = convert(*start, &recording, &storage)) {
      return shim::fail(error, SHIM_INVALID, field);
    }
    const int code = recorder->instance->StartCloudRecording(start->app_id, start->channel_name, start->token,
                                                             start->uid, recording, storage);
    return code == 0 ? SHIM_OK : shim::fail(error, SHIM_REFUSED, "the engine refused to start", code);
  });
}

int shim_recorder_stop(shim_recorder *recorder, shim_error *error) {
  if (recorder->instance == nullptr) {
    return shim::fail(error, SHIM_RELEASED, "the recorder was released");
  }
  return shim::guarded(error, [&]() -> int {
    const int code = recorder->instance->StopCloudRecording();
    return code == 0 ? SHIM_OK : shim::fail(error, SHIM_REFUSED, "the engine refused to stop", code);
  });
}

int shim_recorder_release(shim_recorder *recorder, int32_t cancel, shim_error *error) {
  if (recorder->instance == nullptr) {
    return shim::fail(error, SHIM_RELEASED, "the recorder was released");
  }
  return shim::guarded(error, [&]() -> int {
    sdk::ICloudRecorder *instance = recorder->instance;
    recorder->instance = nullptr;
    instance->Release(cancel != 0);
    recorder->queue.close();
    return SHIM_OK;
  });
}

void shim_recorder_free(shim_recorder *recorder) {
  if (recorder == nullptr) {
    return;
  }
  if (recorder->instance != nullptr) {
    shim_recorder_release(recorder, 0, nullptr);
  }
  delete recorder;
}

int shim_recorder_event_fd(const shim_recorder *recorder) { return recorder->queue.fd(); }

int shim_recorder_next(shim_recorder *recorder, shim_event *event) { return recorder->queue.pop(event) ? 1 : 0; }

uint64_t shim_recorder_late_events(const shim_recorder *recorder) { return recorder->queue.late(); }
