// SPDX-License-Identifier: Apache-2.0
//
// Promise: every precondition of the interface is checked. What breaks one is refused with InvalidParameter or
// InvalidOperation; the former is the recording's one callback, a fatal error, and the snapshot names the field. What
// is within the bounds is taken.
//
// usage: preconditions <media file>
#include <stdlib.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "checks.h"
#include "cloud_recording.h"
#include "memory.h"
#include "scratch.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

namespace {

const char kSecret[] = "hunter2";

// The arguments of a start that is taken, until something about them is changed.
struct Call {
  const char *app_id = "app";
  const char *channel = "room";
  const char *token = nullptr;
  unsigned uid = 99;
  RecordingConfig recording;
  int vendor = kCloudStorageVendorAws;
  unsigned region = 0;
  const char *bucket = "films";
  const char *access_key = "key";
  const char *secret_key = kSecret;

  int Make(ICloudRecorder *recorder) const {
    const CloudStorageConfig storage = {static_cast<CloudStorageVendor>(vendor), region, const_cast<char *>(bucket),
                                        const_cast<char *>(access_key), const_cast<char *>(secret_key)};
    return recorder->StartCloudRecording(app_id, channel, token, uid, recording, storage);
  }
};

using Change = std::function<void(Call &)>;

struct Row {
  const char *name;
  Change change;
  // What the snapshot's words begin with; null where the call is taken.
  const char *field;
};

template <typename Enum>
Enum Number(int number) {
  return static_cast<Enum>(number);
}

TranscodingConfig &Canvas(Call &call) { return call.recording.transcoding_config; }

Change Size(unsigned width, unsigned height) {
  return [width, height](Call &call) {
    Canvas(call).width = width;
    Canvas(call).height = height;
  };
}

Change Region(int vendor, unsigned region) {
  return [vendor, region](Call &call) {
    call.vendor = vendor;
    call.region = region;
  };
}

const std::string kLongName(300, 'x');

const Row kIdentity[] = {
    {"appId null", [](Call &call) { call.app_id = nullptr; }, "appId"},
    {"appId empty", [](Call &call) { call.app_id = ""; }, "appId"},
    {"appId no UTF-8", [](Call &call) { call.app_id = "\xff"; }, "appId"},
    {"channel null", [](Call &call) { call.channel = nullptr; }, "channel_name"},
    {"channel empty", [](Call &call) { call.channel = ""; }, "channel_name"},
    {"channel no UTF-8", [](Call &call) { call.channel = "\xc3("; }, "channel_name"},
    {"channel too long", [](Call &call) { call.channel = kLongName.c_str(); }, "channel_name"},
    {"uid 0", [](Call &call) { call.uid = 0; }, "uid"},
    {"uid of a participant", [](Call &call) { call.uid = 1; }, "uid"},
    {"uid least", [](Call &call) { call.uid = 2; }, nullptr},
    {"uid largest", [](Call &call) { call.uid = 4294967295u; }, nullptr},
    // Channels of streams use no tokens: whatever is given is as good as none.
    {"token null", [](Call &call) { call.token = nullptr; }, nullptr},
    {"token empty", [](Call &call) { call.token = ""; }, nullptr},
    {"token given", [](Call &call) { call.token = "token"; }, nullptr},
};

const Row kEnumerations[] = {
    {"stream types 3", [](Call &call) { call.recording.recording_stream_types = Number<RecordingStreamType>(3); },
     "RecordingStreamType"},
    {"stream types -1", [](Call &call) { call.recording.recording_stream_types = Number<RecordingStreamType>(-1); },
     "RecordingStreamType"},
    {"stream types 0", [](Call &call) { call.recording.recording_stream_types = kStreamTypeAudioOnly; }, nullptr},
    {"stream types 1", [](Call &call) { call.recording.recording_stream_types = kStreamTypeVideoOnly; }, nullptr},
    {"decryption 4", [](Call &call) { call.recording.decryption_mode = Number<DecryptionMode>(4); }, "DecryptionMode"},
    {"decryption -1", [](Call &call) { call.recording.decryption_mode = Number<DecryptionMode>(-1); },
     "DecryptionMode"},
    {"decryption without secret", [](Call &call) { call.recording.decryption_mode = kModeAes128Xts; }, "secret"},
    {"decryption, empty secret",
     [](Call &call) {
       call.recording.decryption_mode = kModeAes128Ecb;
       call.recording.secret = const_cast<char *>("");
     },
     "secret"},
    {"decryption of streams",
     [](Call &call) {
       call.recording.decryption_mode = kModeAes256Xts;
       call.recording.secret = const_cast<char *>(kSecret);
     },
     "decryption_mode"},
    {"channel type 2", [](Call &call) { call.recording.channel_type = Number<ChannelType>(2); }, "ChannelType"},
    {"channel type 1", [](Call &call) { call.recording.channel_type = kChannelTypeLive; }, nullptr},
    {"profile 3", [](Call &call) { call.recording.audio_profile = Number<AudioProfile>(3); }, "AudioProfile"},
    {"profile -1", [](Call &call) { call.recording.audio_profile = Number<AudioProfile>(-1); }, "AudioProfile"},
    {"profile 2", [](Call &call) { call.recording.audio_profile = kAudioProfileMusicHighQualityStereo; }, nullptr},
    {"video stream 2", [](Call &call) { call.recording.video_stream_type = Number<VideoStreamType>(2); },
     "VideoStreamType"},
    {"video stream 1", [](Call &call) { call.recording.video_stream_type = kVideoStreamTypeLow; }, nullptr},
    {"layout 3", [](Call &call) { Canvas(call).layout = Number<MixedVideoLayoutType>(3); }, "MixedVideoLayoutType"},
    {"layout -1", [](Call &call) { Canvas(call).layout = Number<MixedVideoLayoutType>(-1); }, "MixedVideoLayoutType"},
    {"layout 2", [](Call &call) { Canvas(call).layout = kMixedVideolayoutTypeVertical; }, nullptr},
};

const Row kNumbers[] = {
    {"idle 1", [](Call &call) { call.recording.max_idle_time = 1; }, nullptr},
    {"idle 4", [](Call &call) { call.recording.max_idle_time = 4; }, nullptr},
    {"idle 0", [](Call &call) { call.recording.max_idle_time = 0; }, nullptr},
    {"canvas 0 x 0", Size(0, 0), "transcoding_config.width"},
    {"canvas without height", Size(360, 0), "transcoding_config.height"},
    {"canvas of odd width", Size(361, 640), "transcoding_config.width"},
    {"canvas of odd height", Size(360, 641), "transcoding_config.height"},
    {"canvas too wide", Size(1922, 1080), "transcoding_config.width, height"},
    {"canvas too high", Size(1920, 1082), "transcoding_config.width, height"},
    {"portrait too high", Size(1080, 1922), "transcoding_config.width, height"},
    {"portrait too wide", Size(1082, 1920), "transcoding_config.width, height"},
    {"square too large", Size(1200, 1200), "transcoding_config.width, height"},
    {"canvas largest number", Size(4294967294u, 4294967294u), "transcoding_config.width, height"},
    {"landscape 1080p", Size(1920, 1080), nullptr},
    {"portrait 1080p", Size(1080, 1920), nullptr},
    {"canvas smallest", Size(16, 16), nullptr},
    {"fps 0", [](Call &call) { Canvas(call).fps = 0; }, "transcoding_config.fps"},
    {"fps 61", [](Call &call) { Canvas(call).fps = 61; }, "transcoding_config.fps"},
    {"fps 1", [](Call &call) { Canvas(call).fps = 1; }, nullptr},
    {"fps 60", [](Call &call) { Canvas(call).fps = 60; }, nullptr},
    {"bitrate 0", [](Call &call) { Canvas(call).bitrate = 0; }, "transcoding_config.bitrate"},
    {"bitrate largest number", [](Call &call) { Canvas(call).bitrate = 4294967295u; }, "transcoding_config.bitrate"},
    {"bitrate 1", [](Call &call) { Canvas(call).bitrate = 1; }, nullptr},
};

const Row kStorage[] = {
    {"vendor 3", Region(3, 0), "CloudStorageConfig.vendor"},
    {"vendor -1", Region(-1, 0), "CloudStorageConfig.vendor"},
    {"Qiniu 4", Region(kCloudStorageVendorQiniu, 4), "CloudStorageConfig.region: Qiniu"},
    {"Qiniu 3", Region(kCloudStorageVendorQiniu, 3), nullptr},
    {"AWS 18", Region(kCloudStorageVendorAws, 18), "CloudStorageConfig.region: Amazon S3"},
    {"AWS 17", Region(kCloudStorageVendorAws, 17), nullptr},
    {"Aliyun 19", Region(kCloudStorageVendorAliyun, 19), "CloudStorageConfig.region: Alibaba OSS"},
    {"Aliyun largest number", Region(kCloudStorageVendorAliyun, 4294967295u), "CloudStorageConfig.region"},
    {"Aliyun 18", Region(kCloudStorageVendorAliyun, 18), nullptr},
    {"bucket null", [](Call &call) { call.bucket = nullptr; }, "CloudStorageConfig.bucket"},
    {"bucket empty", [](Call &call) { call.bucket = ""; }, "CloudStorageConfig.bucket"},
    {"access key null", [](Call &call) { call.access_key = nullptr; }, "CloudStorageConfig.access_key"},
    {"access key empty", [](Call &call) { call.access_key = ""; }, "CloudStorageConfig.access_key"},
    {"secret key null", [](Call &call) { call.secret_key = nullptr; }, "CloudStorageConfig.secret_key"},
    {"secret key empty", [](Call &call) { call.secret_key = ""; }, "CloudStorageConfig.secret_key"},
};

std::string Status(RecordingId id) {
  std::string status(1 << 16, '\0');
  const std::int64_t length = cr_status(id, &status[0], status.size());
  CHECK(length > 0 && static_cast<std::size_t>(length) < status.size());
  return status.substr(0, static_cast<std::size_t>(length));
}

std::string Text(const std::string &path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// A start that is refused: one fatal error, and nothing can be done with the recorder but to release it.
void IsRefused(const Call &call, const char *field) {
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  CHECK(call.Make(recorder) == kRecordingErrorInvalidParameter);
  CHECK(memory.Await("fatal 432"));
  const std::string status = Status(recorder->GetRecordingId());
  CHECK(status.find("\"state\":\"Failed\"") != std::string::npos);
  CHECK(status.find(std::string("\"message\":\"") + field) != std::string::npos);
  CHECK(status.find(kSecret) == std::string::npos);
  CHECK(Call().Make(recorder) == kRecordingErrorInvalidOperation);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  const std::string log_file = std::string("cloud_recording_log/") + recorder->GetRecordingId() + ".log";
  recorder->Release(true);
  CHECK(memory.told() == std::vector<std::string>{"fatal 432"});
  // The callback has no room for the reason.
  const std::string log = Text(log_file);
  CHECK(log.find(std::string("StartCloudRecording is refused: ") + field) != std::string::npos);
  CHECK(log.find("StartCloudRecording is refused: a recorder starts once") != std::string::npos);
  CHECK(log.find("StopCloudRecording is refused: nothing is being recorded") != std::string::npos);
  CHECK(log.find(kSecret) == std::string::npos);
}

void IsTaken(const Call &call) {
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  CHECK(call.Make(recorder) == kRecordingErrorOk);
  CHECK(memory.Await("connecting"));
  recorder->Release(true);
}

template <std::size_t count>
void Walk(const Row (&rows)[count]) {
  for (const Row &row : rows) {
    CurrentCase() = row.name;
    Call call;
    row.change(call);
    if (row.field == nullptr) {
      IsTaken(call);
    } else {
      IsRefused(call, row.field);
    }
  }
}

// Calls that do not fit the state are refused and told to nobody else.
void CallsThatDoNotFit() {
  CurrentCase() = "order of calls";
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  const Call call;
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  CHECK(call.Make(recorder) == kRecordingErrorOk);
  CHECK(call.Make(recorder) == kRecordingErrorInvalidOperation);
  CHECK(memory.Await("started"));
  CHECK(call.Make(recorder) == kRecordingErrorInvalidOperation);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  CHECK(call.Make(recorder) == kRecordingErrorInvalidOperation);
  CHECK(memory.Await("stopped"));
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  CHECK(call.Make(recorder) == kRecordingErrorInvalidOperation);
  recorder->Release(true);
  for (const std::string &callback : memory.told()) CHECK(callback.find("433") == std::string::npos);
}

void NobodyNeedsToListen() {
  CurrentCase() = "no observer";
  ICloudRecorder *recorder = CreateCloudRecorderInstance(nullptr);
  CHECK(recorder != nullptr && std::strlen(recorder->GetRecordingId()) == 32);
  CHECK(Call().Make(recorder) == kRecordingErrorOk);
  recorder->Release(true);
}

// The configuration document is a precondition, too; it is looked for as a recorder is made.
void ConfigurationsThatAreNone(const std::string &directory) {
  const std::string path = directory + "/broken.json";
  const struct {
    const char *document;  // null: no file
    const char *field;
  } rows[] = {
      {nullptr, "/tmp/preconditions-"},
      {"{", "EOF while parsing an object"},
      {"{\"colour\": 1}", "colour: unknown field"},
      {"{\"workDir\": \"/tmp\"}", "channels: none is named"},
      {"{\"workDir\": \"/tmp\", \"channels\": [{\"streams\": []}]}", "channels[0].streams: must be from 1 to 17"},
  };
  setenv("CLOUD_RECORDING_CHANNEL_FILE", path.c_str(), 1);
  for (const auto &row : rows) {
    CurrentCase() = row.field;
    if (row.document != nullptr) std::ofstream(path) << row.document;
    IsRefused(Call(), row.field);
  }
  CurrentCase() = "no configuration";
  unsetenv("CLOUD_RECORDING_CHANNEL_FILE");
  IsRefused(Call(), "no configuration: name its file in CLOUD_RECORDING_CHANNEL_FILE");
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <media file>\n", argv[0]);
    return 2;
  }
  const Scratch scratch("preconditions");
  const std::string &directory = scratch.path();
  const std::string path = directory + "/channel.json";
  std::ofstream(path) << "{\"workDir\": \"" << directory << "\", \"storage\": {\"endpoint\": \"http://127.0.0.1:9\"}, "
                      << "\"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"file://" << argv[1] << "\"}]}]}";
  setenv("CLOUD_RECORDING_CHANNEL_FILE", path.c_str(), 1);
  Walk(kIdentity);
  Walk(kEnumerations);
  Walk(kNumbers);
  Walk(kStorage);
  CallsThatDoNotFit();
  NobodyNeedsToListen();
  ConfigurationsThatAreNone(directory);
  return 0;
}
