// SPDX-License-Identifier: Apache-2.0
//
// Promise: the layout of the published interface is what programs built against the old SDK expect: the values of its
// enumerations, the order and defaults of its members, and the order of its virtual functions.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

#include "IAgoraCloudRecording.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

static_assert(std::is_same<RecordingId, const char *>::value, "RecordingId");
static_assert(std::is_same<agora::cloud_recording::uid_t, unsigned int>::value, "uid_t");

static_assert(kAudioProfileMusicStandard == 0 && kAudioProfileMusicHighQuality == 1 &&
                  kAudioProfileMusicHighQualityStereo == 2,
              "AudioProfile");
static_assert(kVideoStreamTypeHigh == 0 && kVideoStreamTypeLow == 1, "VideoStreamType");
static_assert(kStreamTypeAudioOnly == 0 && kStreamTypeVideoOnly == 1 && kStreamTypeAudioVideo == 2,
              "RecordingStreamType");
static_assert(kMixedVideoLayoutTypeFloat == 0 && kMixedVideoLayoutTypeBestFit == 1 &&
                  kMixedVideolayoutTypeVertical == 2,
              "MixedVideoLayoutType");
static_assert(kChannelTypeCommunication == 0 && kChannelTypeLive == 1, "ChannelType");
static_assert(kCloudStorageVendorQiniu == 0 && kCloudStorageVendorAws == 1 && kCloudStorageVendorAliyun == 2,
              "CloudStorageVendor");
static_assert(kModeNone == 0 && kModeAes128Xts == 1 && kModeAes128Ecb == 2 && kModeAes256Xts == 3, "DecryptionMode");
static_assert(kRecordingErrorOk == 0 && kRecordingErrorConnectError == 430 && kRecordingErrorDisconnected == 431 &&
                  kRecordingErrorInvalidParameter == 432 && kRecordingErrorInvalidOperation == 433 &&
                  kRecordingErrorNoUsers == 434 && kRecordingErrorNoRecordedData == 435 &&
                  kRecordingErrorRecorderInit == 436 && kRecordingErrorRecorderFailed == 437 &&
                  kRecordingErrorUploaderInit == 438 && kRecordingErrorUploaderFailed == 439 &&
                  kRecordingErrorBackupFailed == 440 && kRecordingErrorRecorderExit == 441 &&
                  kRecordingErrorGeneralError == 442,
              "RecordingErrorCode");

// A member begins where the one before it ends, rounded up to its own alignment.
#define FOLLOWS(type, member, before)                                                                       \
  static_assert(offsetof(type, member) ==                                                                   \
                    (offsetof(type, before) + sizeof(type::before) + alignof(decltype(type::member)) - 1) / \
                        alignof(decltype(type::member)) * alignof(decltype(type::member)),                  \
                #type "::" #member)

static_assert(offsetof(MixedVideoLayout, layout) == 0, "MixedVideoLayout::layout");
FOLLOWS(MixedVideoLayout, max_resolution_uid, layout);

static_assert(offsetof(CloudStorageConfig, vendor) == 0, "CloudStorageConfig::vendor");
FOLLOWS(CloudStorageConfig, region, vendor);
FOLLOWS(CloudStorageConfig, bucket, region);
FOLLOWS(CloudStorageConfig, access_key, bucket);
FOLLOWS(CloudStorageConfig, secret_key, access_key);
static_assert(std::is_same<decltype(CloudStorageConfig::bucket), char *>::value, "CloudStorageConfig::bucket");

static_assert(offsetof(TranscodingConfig, width) == 0, "TranscodingConfig::width");
FOLLOWS(TranscodingConfig, height, width);
FOLLOWS(TranscodingConfig, fps, height);
FOLLOWS(TranscodingConfig, bitrate, fps);
FOLLOWS(TranscodingConfig, max_resolution_uid, bitrate);
FOLLOWS(TranscodingConfig, layout, max_resolution_uid);

static_assert(offsetof(RecordingConfig, recording_stream_types) == 0, "RecordingConfig::recording_stream_types");
FOLLOWS(RecordingConfig, decryption_mode, recording_stream_types);
FOLLOWS(RecordingConfig, secret, decryption_mode);
FOLLOWS(RecordingConfig, channel_type, secret);
FOLLOWS(RecordingConfig, audio_profile, channel_type);
FOLLOWS(RecordingConfig, video_stream_type, audio_profile);
FOLLOWS(RecordingConfig, max_idle_time, video_stream_type);
FOLLOWS(RecordingConfig, transcoding_config, max_idle_time);

namespace {

void Check(bool holds, const char *what) {
  if (!holds) {
    std::fprintf(stderr, "not so: %s\n", what);
    std::exit(1);
  }
}
#define CHECK(condition) Check(condition, #condition)

void CheckDefaults() {
  RecordingConfig config;
  CHECK(config.recording_stream_types == kStreamTypeAudioVideo);
  CHECK(config.decryption_mode == kModeNone);
  CHECK(config.secret == nullptr);
  CHECK(config.channel_type == kChannelTypeCommunication);
  CHECK(config.audio_profile == kAudioProfileMusicStandard);
  CHECK(config.video_stream_type == kVideoStreamTypeHigh);
  CHECK(config.max_idle_time == 30);
  const TranscodingConfig &transcoding = config.transcoding_config;
  CHECK(transcoding.width == 360 && transcoding.height == 640);
  CHECK(transcoding.fps == 15 && transcoding.bitrate == 500);
  CHECK(transcoding.max_resolution_uid == 0 && transcoding.layout == kMixedVideoLayoutTypeFloat);
}

void CheckSetters() {
  RecordingConfig config;
  config.SetTranscodingWidth(1920);
  config.SetTranscodingHeight(1080);
  config.SetTranscodingFPS(30);
  config.SetTranscodingBitrate(4000);
  config.SetTranscodingMixedVideoLayout(kMixedVideolayoutTypeVertical, 7);
  const TranscodingConfig &transcoding = config.transcoding_config;
  CHECK(transcoding.width == 1920 && transcoding.height == 1080);
  CHECK(transcoding.fps == 30 && transcoding.bitrate == 4000);
  CHECK(transcoding.max_resolution_uid == 7 && transcoding.layout == kMixedVideolayoutTypeVertical);
}

// The n-th function of an object's virtual table, as the Itanium C++ ABI lays it out.
template <typename Function>
Function Virtual(void *object, std::size_t n) {
  return reinterpret_cast<Function>((*reinterpret_cast<void ***>(object))[n]);
}

// The observer's functions are called by their places; two places of a virtual destructor come first.
class Witness : public ICloudRecorderObserver {
 public:
  int called = -1;
  unsigned number = 0;
  const char *text = nullptr;

  void OnRecordingConnecting(RecordingId) override { called = 2; }
  void OnRecordingStarted(RecordingId) override { called = 3; }
  void OnRecordingStopped(RecordingId) override { called = 4; }
  void OnRecordingUploaded(RecordingId, const char *file_name) override { Note(5, 0, file_name); }
  void OnRecordingBackedUp(RecordingId, const char *file_name) override { Note(6, 0, file_name); }
  void OnRecordingUploadingProgress(RecordingId, unsigned int progress, const char *playlist) override {
    Note(7, progress, playlist);
  }
  void OnRecorderFailure(RecordingId, RecordingErrorCode code, const char *msg) override { Note(8, code, msg); }
  void OnUploaderFailure(RecordingId, RecordingErrorCode code, const char *msg) override { Note(9, code, msg); }
  void OnRecordingFatalError(RecordingId, RecordingErrorCode code) override { Note(10, code, nullptr); }

 private:
  void Note(int place, unsigned with_number, const char *with_text) {
    called = place;
    number = with_number;
    text = with_text;
  }
};

void CheckObserversTable() {
  Witness witness;
  for (int place = 2; place <= 4; ++place) {
    Virtual<void (*)(void *, const char *)>(&witness, place)(&witness, "id");
    CHECK(witness.called == place);
  }
  for (int place = 5; place <= 6; ++place) {
    Virtual<void (*)(void *, const char *, const char *)>(&witness, place)(&witness, "id", "file");
    CHECK(witness.called == place && witness.text[0] == 'f');
  }
  for (int place = 7; place <= 9; ++place) {
    Virtual<void (*)(void *, const char *, unsigned, const char *)>(&witness, place)(&witness, "id", 440, "words");
    CHECK(witness.called == place && witness.number == 440 && witness.text[0] == 'w');
  }
  Virtual<void (*)(void *, const char *, unsigned)>(&witness, 10)(&witness, "id", 432);
  CHECK(witness.called == 10 && witness.number == 432);
}

// The library's own recorder, called by the places of its functions.
void CheckRecordersTable() {
  CloudRecorderObserver observer;
  void *recorder = CreateCloudRecorderInstance(&observer);
  CHECK(recorder != nullptr);
  const char *id = Virtual<const char *(*)(void *)>(recorder, 0)(recorder);
  for (int place = 0; place < 32; ++place) {
    CHECK((id[place] >= '0' && id[place] <= '9') || (id[place] >= 'a' && id[place] <= 'f'));
  }
  CHECK(id[32] == '\0');
  CHECK(id == Virtual<const char *(*)(void *)>(recorder, 0)(recorder));
  RecordingConfig recording;
  CloudStorageConfig storage = {kCloudStorageVendorAws, 0, nullptr, nullptr, nullptr};
  using Stop = int (*)(void *);
  CHECK(Virtual<Stop>(recorder, 2)(recorder) == kRecordingErrorInvalidOperation);
  using Start = int (*)(void *, const char *, const char *, const char *, unsigned, const RecordingConfig &,
                        const CloudStorageConfig &);
  CHECK(Virtual<Start>(recorder, 1)(recorder, "app", "room", nullptr, 0, recording, storage) ==
        kRecordingErrorInvalidParameter);
  using Release = void (*)(void *, bool);
  Virtual<Release>(recorder, 3)(recorder, false);
}

}  // namespace

int main() {
  CheckDefaults();
  CheckSetters();
  CheckObserversTable();
  CheckRecordersTable();
  return 0;
}
