// SPDX-License-Identifier: Apache-2.0
//
// Promise: a process that records again and again does not grow: 200 recordings of real media, each joined, written and
// uploaded (or refused by the bucket), leave no memory, no thread and no descriptor behind.
//
// usage: cycles <media file> [<recordings>]    CLOUD_RECORDING_CYCLES_ENDPOINT, …_BUCKET, …_ACCESS_KEY and …_SECRET_KEY
// name a bucket; without them it is a closed port, which refuses every upload.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "checks.h"
#include "cloud_recording.h"
#include "memory.h"
#include "scratch.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

namespace {

// Recordings that are under way at once.
const int kAbreast = 12;

// What a recording has in memory at its height is some 10 MB: had it left that behind only once in ten times, it would
// be far more than this.
const long kMostGrowth = 24L << 20;

std::string Environment(const char *name, const char *otherwise) {
  const char *value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

bool AnythingRecorded(const char *id) {
  char status[16384];
  return cr_status(id, status, sizeof status) > 0 && std::strstr(status, "\"startTime\":null") == nullptr;
}

class Cycles {
 public:
  explicit Cycles(const std::string &media)
      : bucket_(Environment("CLOUD_RECORDING_CYCLES_BUCKET", "films")),
        access_key_(Environment("CLOUD_RECORDING_CYCLES_ACCESS_KEY", "key")),
        secret_key_(Environment("CLOUD_RECORDING_CYCLES_SECRET_KEY", "secret")),
        has_bucket_(std::getenv("CLOUD_RECORDING_CYCLES_ENDPOINT") != nullptr) {
    document_ = "{\"workDir\": \"" + directory_.path() +
                "\", \"sliceSeconds\": 2, \"storage\": {\"pathStyle\": true, \"endpoint\": \"" +
                Environment("CLOUD_RECORDING_CYCLES_ENDPOINT", "http://127.0.0.1:9") +
                "\"}, \"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"file://" + media + "\"}]}]}";
  }

  void Run(int recordings) {
    std::atomic<int> left(recordings);
    std::vector<std::thread> threads;
    for (int index = 0; index < kAbreast; ++index) {
      threads.emplace_back([&] {
        while (left-- > 0) RecordOnce();
      });
    }
    for (std::thread &thread : threads) thread.join();
    CHECK(cr_wait_drained(60000) == 1);
  }

 private:
  void RecordOnce() {
    Memory memory;
    CHECK(cr_configure_next(document_.c_str(), nullptr, 0) == kRecordingErrorOk);
    ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
    RecordingConfig recording;
    recording.SetTranscodingWidth(64);
    recording.SetTranscodingHeight(64);
    const CloudStorageConfig storage = {kCloudStorageVendorAws, 0, &bucket_[0], &access_key_[0], &secret_key_[0]};
    // Everybody is somebody else, or each would take up what those before it could not upload.
    const unsigned uid = ++uid_;
    CHECK(recorder->StartCloudRecording("app", "room", nullptr, uid, recording, storage) == kRecordingErrorOk);
    CHECK(memory.Await("started"));
    const char *id = recorder->GetRecordingId();
    CHECK(Settles([id] { return AnythingRecorded(id); }));
    CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
    CHECK(memory.Await("stopped"));
    CHECK(memory.Await(has_bucket_ ? "uploaded" : "uploader failure 439"));
    recorder->Release(true);
  }

  std::string bucket_;
  std::string access_key_;
  std::string secret_key_;
  bool has_bucket_;
  std::atomic<unsigned> uid_{1000};
  const Scratch directory_{"cycles"};
  std::string document_;
};

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: %s <media file> [<recordings>]\n", argv[0]);
    return 2;
  }
  const int recordings = argc == 3 ? std::atoi(argv[2]) : 200;
  Cycles cycles(argv[1]);
  // What the first recordings make for the life of the process is not left behind by them.
  cycles.Run(std::max(recordings / 5, kAbreast));
  const Held held = SettledHeld();
  const long before = ResidentBytes();
  cycles.Run(recordings);
  CheckHoldsNoMoreThan(held);
  const long growth = ResidentBytes() - before;
  std::printf("%d recordings: %+ld KiB\n", recordings, growth / 1024);
  CHECK(growth < kMostGrowth);
  return 0;
}
