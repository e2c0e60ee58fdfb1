// SPDX-License-Identifier: Apache-2.0
//
// Promise: whenever a program stops or releases a recorder, in whatever state and from wherever, calls are answered as
// the interface says, no callback comes after Release has returned, and neither thread nor descriptor is left behind.
//
// usage: lifecycle <media file>    The bucket is a closed port: nothing is ever uploaded.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "IAgoraCloudRecording.h"
#include "checks.h"
#include "cloud_recording.h"
#include "memory.h"
#include "scratch.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

namespace {

int Start(ICloudRecorder *recorder) {
  RecordingConfig recording;
  recording.SetTranscodingWidth(64);
  recording.SetTranscodingHeight(64);
  recording.SetTranscodingMixedVideoLayout(kMixedVideoLayoutTypeBestFit, 0);
  char bucket[] = "films";
  char key[] = "key";
  char secret[] = "secret";
  const CloudStorageConfig storage = {kCloudStorageVendorAws, 0, bucket, key, secret};
  // Somebody else each time, who takes up nothing of what those before left.
  static std::atomic<unsigned> uid(99);
  return recorder->StartCloudRecording("app", "room", nullptr, ++uid, recording, storage);
}

void CallsAreAnsweredByState() {
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  CHECK(Start(recorder) == kRecordingErrorOk);
  CHECK(Start(recorder) == kRecordingErrorInvalidOperation);
  CHECK(memory.Await("started"));
  CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorInvalidOperation);
  CHECK(memory.Await("stopped"));
  CHECK(Start(recorder) == kRecordingErrorInvalidOperation);
  CHECK(memory.Await("uploader failure 439"));
  recorder->Release(true);
}

bool AnythingRecorded(const std::string &id) {
  char status[16384];
  return cr_status(id.c_str(), status, sizeof status) > 0 && std::strstr(status, "\"startTime\":null") == nullptr;
}

// Release from outside, after each of the callbacks that mark a state.
void ReleaseEndsCallbacksInEveryState(bool cancel) {
  for (const char *state : {"", "connecting", "started", "stopped", "uploader failure 439"}) {
    std::unique_ptr<Memory> memory(new Memory());
    ICloudRecorder *recorder = CreateCloudRecorderInstance(memory.get());
    if (*state != '\0') CHECK(Start(recorder) == kRecordingErrorOk);
    if (std::strcmp(state, "stopped") == 0 || std::strcmp(state, "uploader failure 439") == 0) {
      const std::string id = recorder->GetRecordingId();
      CHECK(Settles([&id] { return AnythingRecorded(id); }));
      CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
    }
    if (*state != '\0') CHECK(memory->Await(state));
    recorder->Release(cancel);
    memory->Close();
    CHECK(!memory->told_late());
  }
}

// Release takes effect as the callback returns: after that the observer may go.
void ReleaseWorksInsideACallback(bool cancel) {
  for (const char *state : {"connecting", "started", "stopped"}) {
    std::mutex starting;
    ICloudRecorder *recorder = nullptr;
    Memory memory([&](const std::string &callback) {
      // The caller still uses the recorder until its start has returned.
      std::lock_guard<std::mutex> lock(starting);
      if (callback == "started" && std::strcmp(state, "stopped") == 0) recorder->StopCloudRecording();
      if (callback == state) {
        recorder->Release(cancel);
        memory.Close();
      }
    });
    {
      std::lock_guard<std::mutex> lock(starting);
      recorder = CreateCloudRecorderInstance(&memory);
      CHECK(Start(recorder) == kRecordingErrorOk);
    }
    CHECK(memory.Await(state));
    CHECK(memory.AwaitThreadsEnd());
    CHECK(!memory.told_late());
  }
}

void SeveralAtOnceAreStrangers() {
  Memory memories[3];
  ICloudRecorder *recorders[3];
  std::set<std::string> ids;
  for (int index = 0; index < 3; ++index) {
    recorders[index] = CreateCloudRecorderInstance(&memories[index]);
    ids.insert(recorders[index]->GetRecordingId());
    CHECK(Start(recorders[index]) == kRecordingErrorOk);
  }
  CHECK(ids.size() == 3);
  std::set<std::thread::id> threads;
  for (int index = 0; index < 3; ++index) {
    CHECK(memories[index].Await("started"));
    threads.insert(memories[index].thread());
  }
  CHECK(threads.size() == 3);
  recorders[0]->Release(true);
  CHECK(recorders[1]->StopCloudRecording() == kRecordingErrorOk);
  CHECK(memories[1].Await("stopped"));
  for (int index = 1; index < 3; ++index) recorders[index]->Release(true);
}

void AnObserversExceptionHarmsNobody() {
  Memory memory([](const std::string &callback) {
    if (callback == "connecting") throw callback;
  });
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  CHECK(Start(recorder) == kRecordingErrorOk);
  CHECK(memory.Await("started"));
  recorder->Release(true);
}

std::string Status(const std::string &id) {
  std::string status(1 << 16, '\0');
  const std::int64_t length = cr_status(id.c_str(), &status[0], status.size());
  CHECK(length > 0 && static_cast<std::size_t>(length) < status.size());
  return status.substr(0, static_cast<std::size_t>(length));
}

// The C functions, on a recording under way.
void APauseIsAStatedGap() {
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  const std::string id = recorder->GetRecordingId();
  const auto says = [&id](const char *words) { return Status(id).find(words) != std::string::npos; };
  CHECK(says("\"state\":\"Idle\""));
  CHECK(cr_set_paused(id.c_str(), 1) == kRecordingErrorInvalidOperation);
  CHECK(Start(recorder) == kRecordingErrorOk);
  CHECK(Settles([&] { return AnythingRecorded(id); }));
  CHECK(cr_set_layout(id.c_str(), kMixedVideolayoutTypeVertical, 1) == kRecordingErrorOk);
  CHECK(cr_set_layout(id.c_str(), 3, 1) == kRecordingErrorInvalidParameter);
  char reason[128] = "";
  CHECK(cr_set_streams(id.c_str(), "{\"streams\": []}", reason, sizeof reason) == kRecordingErrorInvalidParameter);
  CHECK(std::strstr(reason, "streams: must be from 1 to 17") != nullptr);
  CHECK(cr_set_paused(id.c_str(), 1) == kRecordingErrorOk);
  CHECK(Settles([&] { return says("\"state\":\"Paused\""); }));
  // A pause that is over before the next frame is due would be none.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  CHECK(cr_set_paused(id.c_str(), 0) == kRecordingErrorOk);
  CHECK(Settles([&] { return says("\"state\":\"Recording\"") && says("\"reason\":\"Paused\""); }));
  recorder->Release(true);
  CHECK(cr_status(id.c_str(), nullptr, 0) == -1);
  CHECK(cr_set_paused(id.c_str(), 1) == kRecordingErrorInvalidParameter);
}

// The environment's channel with its only stream passed through; a pause is one there, too, but there is no layout.
void WhatIsPassedThroughHasNoLayout() {
  std::ifstream file(std::getenv("CLOUD_RECORDING_CHANNEL_FILE"));
  std::string document((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string streams = "{\"streams\"";
  document.replace(document.find(streams), streams.size(), "{\"passthrough\": {}, \"streams\"");
  CHECK(cr_configure_next(document.c_str(), nullptr, 0) == kRecordingErrorOk);
  Memory memory;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
  const std::string id = recorder->GetRecordingId();
  CHECK(Start(recorder) == kRecordingErrorOk);
  CHECK(Settles([&] { return AnythingRecorded(id); }));
  CHECK(cr_set_layout(id.c_str(), kMixedVideolayoutTypeVertical, 1) == kRecordingErrorInvalidOperation);
  CHECK(cr_set_streams(id.c_str(), "{\"streams\": [{\"uid\": 1, \"url\": \"tcp://127.0.0.1:9\"}]}", nullptr, 0) ==
        kRecordingErrorInvalidOperation);
  CHECK(cr_set_paused(id.c_str(), 1) == kRecordingErrorOk);
  CHECK(Settles([&] { return Status(id).find("\"state\":\"Paused\"") != std::string::npos; }));
  recorder->Release(true);
}

void TheNextRecorderUsesItsOwnConfiguration() {
  char reason[64];
  CHECK(cr_api_version() == 1);
  CHECK(cr_configure_next("{\"colour\": 1}", reason, sizeof reason) == kRecordingErrorInvalidParameter);
  CHECK(std::strncmp(reason, "colour: unknown field", 21) == 0);
  CHECK(cr_configure_next(nullptr, nullptr, 0) == kRecordingErrorInvalidParameter);
  const char *id = "00000000000000000000000000000001";
  const std::string document = std::string("{\"recordingId\": \"") + id + "\"}";
  CHECK(cr_configure_next(document.c_str(), reason, sizeof reason) == kRecordingErrorOk);
  Memory memory;
  ICloudRecorder *configured = CreateCloudRecorderInstance(&memory);
  ICloudRecorder *other = CreateCloudRecorderInstance(&memory);
  CHECK(std::strcmp(configured->GetRecordingId(), id) == 0);
  CHECK(std::strcmp(other->GetRecordingId(), id) != 0);
  CHECK(cr_configure_next(document.c_str(), reason, sizeof reason) == kRecordingErrorInvalidOperation);
  // No channels: nothing to record, and the reason is told.
  CHECK(Start(configured) == kRecordingErrorInvalidParameter);
  CHECK(memory.Await("fatal 432"));
  CHECK(Status(id).find("channels: none is named") != std::string::npos);
  configured->Release(true);
  other->Release(true);
}

void ManyCyclesLeaveNothing(int cycles) {
  for (int cycle = 0; cycle < cycles; ++cycle) {
    Memory memory;
    ICloudRecorder *recorder = CreateCloudRecorderInstance(&memory);
    CHECK(Start(recorder) == kRecordingErrorOk);
    recorder->Release(true);
  }
}

std::string WriteConfiguration(const std::string &directory, const std::string &media) {
  const std::string path = directory + "/channel.json";
  std::ofstream(path) << "{\"workDir\": \"" << directory << "\", \"sliceSeconds\": 2, "
                      << "\"storage\": {\"endpoint\": \"http://127.0.0.1:9\"}, "
                      << "\"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"file://" << media << "\"}]}]}";
  return path;
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__)
// Of what was freed the sanitizer keeps 256 MB unless told otherwise, give or take more than what is looked for.
extern "C" const char *__asan_default_options() { return "quarantine_size_mb=32"; }
#endif

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <media file>\n", argv[0]);
    return 2;
  }
  const Scratch directory("lifecycle");
  setenv("CLOUD_RECORDING_CHANNEL_FILE", WriteConfiguration(directory.path(), argv[1]).c_str(), 1);

  // What a first recorder makes for the life of the process is not left behind by it.
  ManyCyclesLeaveNothing(1);
  const Held held = SettledHeld();
  CallsAreAnsweredByState();
  ReleaseEndsCallbacksInEveryState(true);
  ReleaseWorksInsideACallback(true);
  SeveralAtOnceAreStrangers();
  AnObserversExceptionHarmsNobody();
  APauseIsAStatedGap();
  WhatIsPassedThroughHasNoLayout();
  TheNextRecorderUsesItsOwnConfiguration();
  ManyCyclesLeaveNothing(50);
  const long before = ResidentBytes();
  ManyCyclesLeaveNothing(200);
  // A leak of a recorder's buffers, even once in ten cycles, would be far more.
  CHECK(ResidentBytes() - before < 16L << 20);
  CHECK(cr_wait_drained(60000) == 1);
  CheckHoldsNoMoreThan(held);

  // What these leave to upload nobody takes: drainers stay, callbacks do not come.
  ReleaseEndsCallbacksInEveryState(false);
  ReleaseWorksInsideACallback(false);
  return 0;
}
