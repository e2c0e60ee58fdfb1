// SPDX-License-Identifier: Apache-2.0
//
// The border between the published C++ interface and the core. Private to the library: the version script hides it.
#ifndef CLOUD_RECORDING_ABI_CORE_H
#define CLOUD_RECORDING_ABI_CORE_H

#include <cstdint>

extern "C" {

struct RecorderCore;

enum RecorderCoreCallback : std::int32_t {
  kConnecting = 0,
  kStarted = 1,
  kStopped = 2,
  kUploaded = 3,
  kBackedUp = 4,
  kUploadingProgress = 5,
  kRecorderFailure = 6,
  kUploaderFailure = 7,
  kFatalError = 8,
};

// One callback. text is the file name or the message; number the percentage; code the error code; each where it
// applies.
struct RecorderCoreEvent {
  RecorderCoreCallback callback;
  std::int32_t code;
  std::uint32_t number;
  const char *recording_id;
  const char *text;
};

using RecorderCoreNotify = void (*)(void *observer, const RecorderCoreEvent *event);

// The arguments of StartCloudRecording, enumerations as the numbers they arrived as: the core judges them.
struct RecorderCoreStart {
  const char *app_id;
  const char *channel_name;
  const char *token;
  std::uint32_t uid;
  std::int32_t stream_types;
  std::int32_t decryption_mode;
  const char *secret;
  std::int32_t channel_type;
  std::int32_t audio_profile;
  std::int32_t video_stream_type;
  std::uint32_t max_idle_time;
  std::uint32_t width;
  std::uint32_t height;
  std::uint32_t fps;
  std::uint32_t bitrate;
  std::uint32_t max_resolution_uid;
  std::int32_t layout;
  std::int32_t vendor;
  std::uint32_t region;
  const char *bucket;
  const char *access_key;
  const char *secret_key;
};

// Null where no recorder can be made.
RecorderCore *recorder_core_create(void *observer, RecorderCoreNotify notify);
const char *recorder_core_id(const RecorderCore *core);
std::int32_t recorder_core_start(RecorderCore *core, const RecorderCoreStart *start);
std::int32_t recorder_core_stop(RecorderCore *core);
// Frees the core; from within notify, as notify returns.
void recorder_core_release(RecorderCore *core, bool cancel);

}  // extern "C"

#endif
