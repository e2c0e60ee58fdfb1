// SPDX-License-Identifier: Apache-2.0
//
// Promise: a recorder may be released from within each of its callbacks, also the last ones; whatever is released and
// however a recording ends, no callback comes late, and neither thread nor descriptor is left behind. Recorders of one
// channel and of several do not get in each other's way.
//
// usage: endings <media file> <endpoint of the bucket> <endpoint of the backup store> <directory of the key files>
//
// The keys are in the files `access` and `secret`; the buckets are `films` and `spare`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "checks.h"
#include "cloud_recording.h"
#include "memory.h"
#include "scratch.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

namespace {

const char kNobodyListens[] = "http://127.0.0.1:9";

// Where the test's servers and files are.
struct Place {
  std::string media;
  std::string bucket;
  std::string backup;
  std::string keys;
  std::string work;

  std::string Keys() const {
    return "\"credentialFiles\": {\"accessKey\": \"" + keys + "/access\", \"secretKey\": \"" + keys + "/secret\"}";
  }

  // The document of a channel of one participant; a channel that nobody is in, where `media` is no file.
  std::string Document(const std::string &endpoint, const std::string &participant) const {
    return "{\"workDir\": \"" + work + "\", \"sliceSeconds\": 2, \"storage\": {\"endpoint\": \"" + endpoint + "\", " +
           Keys() + "}, \"backup\": {\"endpoint\": \"" + backup + "\", \"bucket\": \"spare\", \"afterSeconds\": 0, " +
           Keys() + "}, \"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"file://" + participant + "\"}]}]}";
  }
};

ICloudRecorder *Create(const std::string &document, ICloudRecorderObserver *observer) {
  char reason[256];
  CHECK(cr_configure_next(document.c_str(), reason, sizeof reason) == kRecordingErrorOk);
  return CreateCloudRecorderInstance(observer);
}

int Start(ICloudRecorder *recorder, const char *channel, unsigned uid) {
  RecordingConfig recording;
  recording.SetTranscodingWidth(64);
  recording.SetTranscodingHeight(64);
  char bucket[] = "films";
  const CloudStorageConfig storage = {kCloudStorageVendorAws, 0, bucket, nullptr, nullptr};
  return recorder->StartCloudRecording("app", channel, nullptr, uid, recording, storage);
}

struct Case {
  // Inside which callback the recorder is released.
  const char *released_in;
  const char *endpoint;  // null: the bucket's
  bool somebody;
  unsigned uid;
};

// Each recording is stopped as soon as it is under way, from within the callback that says so.
void ReleaseInside(const Place &place, const Case &each, bool cancel) {
  CurrentCase() = std::string("Release(") + (cancel ? "true" : "false") + ") in " + each.released_in;
  std::mutex starting;
  ICloudRecorder *recorder = nullptr;
  std::string id;
  {
    Memory *itself = nullptr;
    Memory memory([&](const std::string &callback) {
      // The caller still uses the recorder until its start has returned.
      std::lock_guard<std::mutex> lock(starting);
      if (callback == each.released_in) {
        recorder->Release(cancel);
        itself->Close();
      } else if (callback == (each.somebody ? "started" : "connecting")) {
        CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
      }
    });
    itself = &memory;
    {
      std::lock_guard<std::mutex> lock(starting);
      const std::string endpoint = each.endpoint == nullptr ? place.bucket : each.endpoint;
      recorder = Create(place.Document(endpoint, each.somebody ? place.media : "/nowhere"), &memory);
      id = recorder->GetRecordingId();
      // Somebody else each time, who takes up nothing of those before.
      static unsigned uid = 1000;
      CHECK((Start(recorder, "room", each.uid == 0 ? 0 : ++uid) == kRecordingErrorOk) == (each.uid != 0));
    }
    CHECK(memory.Await(each.released_in));
    CHECK(memory.AwaitThreadsEnd());
    CHECK(!memory.told_late());
  }
  CHECK(cr_wait_drained(60000) == 1);
  CHECK(cr_status(id.c_str(), nullptr, 0) == -1);
}

// Programs written for the vendor's library keep the pointers they were given, and read them later.
class Keeper : public CloudRecorderObserver {
 public:
  void OnRecordingUploaded(RecordingId id, const char *file_name) override {
    Keep(id);
    Keep(file_name);
    ended_.set_value();
  }
  void OnRecorderFailure(RecordingId id, RecordingErrorCode, const char *msg) override {
    Keep(id);
    Keep(msg);
  }

  void Keep(const char *text) { kept_.emplace_back(text, text); }
  bool Ended() { return ended_.get_future().wait_for(kPatience) == std::future_status::ready; }
  const std::vector<std::pair<const char *, std::string>> &kept() const { return kept_; }

 private:
  std::vector<std::pair<const char *, std::string>> kept_;
  std::promise<void> ended_;
};

void TextsStay(const Place &place) {
  CurrentCase() = "texts that are read later";
  Keeper keeper;
  ICloudRecorder *recorder = Create(place.Document(place.bucket, "/nowhere"), &keeper);
  keeper.Keep(recorder->GetRecordingId());
  CHECK(Start(recorder, "nobody", 99) == kRecordingErrorOk);
  CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
  CHECK(keeper.Ended());
  recorder->Release(false);
  CHECK(cr_wait_drained(60000) == 1);
  // The id, an id and a message, an id and a file's name.
  CHECK(keeper.kept().size() == 5);
  for (const auto &kept : keeper.kept()) {
    CHECK(!kept.second.empty() && kept.first == kept.second);
  }
}

bool AnythingRecorded(const std::string &id) {
  char status[16384];
  return cr_status(id.c_str(), status, sizeof status) > 0 && std::strstr(status, "\"startTime\":null") == nullptr;
}

// What is released while it uploads gets into the bucket all the same; its observer is gone by then.
void WhatIsReleasedIsUploaded(const Place &place) {
  CurrentCase() = "Release(false) while uploading";
  std::unique_ptr<Memory> memory(new Memory());
  ICloudRecorder *recorder = Create(place.Document(place.bucket, place.media), memory.get());
  const std::string id = recorder->GetRecordingId();
  CHECK(Start(recorder, "left behind", 99) == kRecordingErrorOk);
  CHECK(Settles([&id] { return AnythingRecorded(id); }));
  CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
  CHECK(memory->Await("stopped"));
  recorder->Release(false);
  memory->Close();
  CHECK(!memory->told_late());
  memory.reset();
  CHECK(cr_wait_drained(60000) == 1);
  // Delivered and released: nothing of it is here any more.
  CHECK(access((place.work + "/" + id).c_str(), F_OK) != 0);
}

// Somebody who takes connections and never answers.
class Mute {
 public:
  Mute() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    CHECK(bind(socket_, reinterpret_cast<sockaddr *>(&address), length) == 0 && listen(socket_, 8) == 0);
    CHECK(getsockname(socket_, reinterpret_cast<sockaddr *>(&address), &length) == 0);
    endpoint_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Mute() { close(socket_); }
  Mute(const Mute &) = delete;
  Mute &operator=(const Mute &) = delete;

  const std::string &endpoint() const { return endpoint_; }
  bool WasCalled() {
    pollfd about = {socket_, POLLIN, 0};
    return poll(&about, 1, 60000) == 1;
  }

 private:
  int socket_;
  std::string endpoint_;
};

// A cancellation does not wait for a file that is on its way.
void CancelledWhileAFileIsUnderWay(const Place &place) {
  CurrentCase() = "Release(true) while uploading";
  Mute mute;
  Memory memory;
  ICloudRecorder *recorder = Create(place.Document(mute.endpoint(), place.media), &memory);
  CHECK(Start(recorder, "room", 99) == kRecordingErrorOk);
  CHECK(mute.WasCalled());
  CHECK(recorder->StopCloudRecording() == kRecordingErrorOk);
  CHECK(memory.Await("stopped"));
  const auto began = std::chrono::steady_clock::now();
  recorder->Release(true);
  // The attempt itself would take at least 30 seconds.
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
  memory.Close();
  CHECK(!memory.told_late());
}

// Two of one channel and one of another; each tells its own whole story.
void SeveralRecordSideBySide(const Place &place) {
  CurrentCase() = "side by side";
  const char *channels[] = {"room", "room", "hall"};
  Memory memories[3];
  ICloudRecorder *recorders[3];
  std::string ids[3];
  for (int index = 0; index < 3; ++index) {
    recorders[index] = Create(place.Document(place.bucket, place.media), &memories[index]);
    ids[index] = recorders[index]->GetRecordingId();
    CHECK(Start(recorders[index], channels[index], 99) == kRecordingErrorOk);
  }
  CHECK(std::set<std::string>(ids, ids + 3).size() == 3);
  for (const std::string &id : ids) CHECK(Settles([&id] { return AnythingRecorded(id); }));
  for (int index = 0; index < 3; ++index) {
    CHECK(recorders[index]->StopCloudRecording() == kRecordingErrorOk);
    CHECK(memories[index].Await("uploaded"));
    CHECK(recorders[index]->GetRecordingId() == ids[index]);
    recorders[index]->Release(false);
    CHECK((memories[index].told() == std::vector<std::string>{"connecting", "started", "stopped", "uploaded"}));
  }
}

void IdsAreStableAndUnique() {
  CurrentCase() = "ids";
  std::set<std::string> ids;
  for (int count = 0; count < 1000; ++count) {
    ICloudRecorder *recorder = CreateCloudRecorderInstance(nullptr);
    const char *id = recorder->GetRecordingId();
    CHECK(id == recorder->GetRecordingId());
    ids.insert(id);
    recorder->Release();
  }
  CHECK(ids.size() == 1000);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s <media file> <bucket's endpoint> <backup's endpoint> <keys>\n", argv[0]);
    return 2;
  }
  const Scratch directory("endings");
  const Place place = {argv[1], argv[2], argv[3], argv[4], directory.path()};
  const Case cases[] = {
      {"connecting", nullptr, true, 99},
      {"started", nullptr, true, 99},
      {"stopped", nullptr, true, 99},
      {"uploaded", nullptr, true, 99},
      {"backed up", kNobodyListens, true, 99},
      {"uploader failure 439", kNobodyListens, true, 99},
      {"recorder failure 435", nullptr, false, 99},
      {"fatal 432", nullptr, true, 0},
  };
  // What a first recorder makes for the life of the process is not left behind by it.
  ReleaseInside(place, cases[4], false);
  const Held before = SettledHeld();
  for (const Case &each : cases) {
    for (const bool cancel : {true, false}) ReleaseInside(place, each, cancel);
  }
  TextsStay(place);
  WhatIsReleasedIsUploaded(place);
  CancelledWhileAFileIsUnderWay(place);
  SeveralRecordSideBySide(place);
  IdsAreStableAndUnique();
  CurrentCase() = "the end";
  CHECK(cr_wait_drained(60000) == 1);
  CheckHoldsNoMoreThan(before);
  return 0;
}
