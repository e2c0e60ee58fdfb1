// SPDX-License-Identifier: Apache-2.0
//
// The published interface over the core: translates arguments and callbacks, and decides nothing.
#include <cstring>
#include <new>

#include "IAgoraCloudRecording.h"
#include "core.h"

namespace agora {
namespace cloud_recording {
namespace {

void Notify(void *context, const RecorderCoreEvent *event) {
  auto *observer = static_cast<ICloudRecorderObserver *>(context);
  const RecordingId id = event->recording_id;
  const auto code = static_cast<RecordingErrorCode>(event->code);
  switch (event->callback) {
    case kConnecting:
      return observer->OnRecordingConnecting(id);
    case kStarted:
      return observer->OnRecordingStarted(id);
    case kStopped:
      return observer->OnRecordingStopped(id);
    case kUploaded:
      return observer->OnRecordingUploaded(id, event->text);
    case kBackedUp:
      return observer->OnRecordingBackedUp(id, event->text);
    case kUploadingProgress:
      return observer->OnRecordingUploadingProgress(id, event->number, event->text);
    case kRecorderFailure:
      return observer->OnRecorderFailure(id, code, event->text);
    case kUploaderFailure:
      return observer->OnUploaderFailure(id, code, event->text);
    case kFatalError:
      return observer->OnRecordingFatalError(id, code);
  }
}

// The core calls from a thread of its own that nothing of the host's encloses: what an observer throws ends here, or it
// would end the process.
void NotifyWithoutExceptions(void *context, const RecorderCoreEvent *event) noexcept {
  try {
    Notify(context, event);
  } catch (...) {  // NOLINT(bugprone-empty-catch): an observer's exception is nobody's to handle
  }
}

// Callers in other languages pass any number for an enumeration; reading it as one would be undefined.
template <typename Enum>
std::int32_t Number(const Enum &value) {
  static_assert(sizeof value == sizeof(std::int32_t), "enumerations are numbers of 32 bits");
  std::int32_t number;
  std::memcpy(&number, &value, sizeof number);
  return number;
}

class CloudRecorder final : public ICloudRecorder {
 public:
  explicit CloudRecorder(RecorderCore *core) : core_(core) {}

  RecordingId GetRecordingId() override { return recorder_core_id(core_); }

  int StartCloudRecording(const char *appId, const char *channel_name, const char *token, const uid_t uid,
                          const RecordingConfig &recording, const CloudStorageConfig &storage) override {
    const TranscodingConfig &transcoding = recording.transcoding_config;
    const RecorderCoreStart start = {
        appId,
        channel_name,
        token,
        uid,
        Number(recording.recording_stream_types),
        Number(recording.decryption_mode),
        recording.secret,
        Number(recording.channel_type),
        Number(recording.audio_profile),
        Number(recording.video_stream_type),
        recording.max_idle_time,
        transcoding.width,
        transcoding.height,
        transcoding.fps,
        transcoding.bitrate,
        transcoding.max_resolution_uid,
        Number(transcoding.layout),
        Number(storage.vendor),
        storage.region,
        storage.bucket,
        storage.access_key,
        storage.secret_key,
    };
    return recorder_core_start(core_, &start);
  }

  int StopCloudRecording() override { return recorder_core_stop(core_); }

  void Release(bool cancel) override {
    // In this order: until the core's release returns, a callback may still be using this object.
    recorder_core_release(core_, cancel);
    delete this;
  }

 private:
  ~CloudRecorder() override = default;

  RecorderCore *core_;
};

}  // namespace

ICloudRecorder *CreateCloudRecorderInstance(ICloudRecorderObserver *observer) {
  RecorderCore *core = recorder_core_create(observer, observer == nullptr ? nullptr : NotifyWithoutExceptions);
  if (core == nullptr) {
    return nullptr;
  }
  auto *recorder = new (std::nothrow) CloudRecorder(core);
  if (recorder == nullptr) {
    recorder_core_release(core, true);
  }
  return recorder;
}

}  // namespace cloud_recording
}  // namespace agora
