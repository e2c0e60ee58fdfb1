// SPDX-License-Identifier: Apache-2.0
//
// Promise: through the shim, as Python drives it, a recording starts, tells what happens and ends without a byte read
// or written that is not its own, and whatever is wrong with a call is a result and a text. For the sanitizers.
//
// usage: shim <media file>    The bucket is a closed port: nothing is ever uploaded.
#include "shim.h"

#include <poll.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "event_queue.h"
#include "firewall.h"

namespace {

const int kPatienceMs = 60000;

void Check(bool holds, const char *what, int line) {
  if (!holds) {
    std::fprintf(stderr, "shim.cpp:%d: not so: %s\n", line, what);
    std::exit(1);
  }
}
#define CHECK(condition) Check(condition, #condition, __LINE__)

shim_start Arguments() {
  shim_start start = {};
  start.struct_size = sizeof start;
  start.app_id = "app";
  start.channel_name = "room";
  start.uid = 99;
  start.stream_types = 2;
  start.max_idle_seconds = 30;
  start.width = 64;
  start.height = 64;
  start.frames_per_second = 15;
  start.bitrate_kbps = 100;
  start.vendor = 1;
  start.bucket = "films";
  start.access_key = "key";
  start.secret_key = "secret";
  return start;
}

// Waits for a callback; one that came while another was waited for has come.
class Events {
 public:
  explicit Events(shim_recorder *recorder) : recorder_(recorder) {}

  bool Await(int type, int code) {
    while (told_.count({type, code}) == 0) {
      pollfd waiting = {shim_recorder_event_fd(recorder_), POLLIN, 0};
      if (poll(&waiting, 1, kPatienceMs) != 1) return false;
      shim_event event;
      while (shim_recorder_next(recorder_, &event) == 1) {
        CHECK(std::memchr(event.text, 0, sizeof event.text) != nullptr);
        told_.insert({event.type, event.code});
      }
    }
    return true;
  }

 private:
  shim_recorder *recorder_;
  std::set<std::pair<int, int>> told_;
};

void EnginesThatAreNoneAreRefused(shim_error *error) {
  shim_engine *engine = nullptr;
  CHECK(shim_engine_open("/nowhere/engine.so", &engine, error) == SHIM_LOAD_FAILED && error->text[0] != '\0');
  CHECK(shim_engine_open("libc.so.6", &engine, error) == SHIM_LOAD_FAILED && engine == nullptr);
}

void CallsThatAreWrongAreAnswered(shim_engine *engine, const std::string &document, shim_error *error) {
  shim_recorder *recorder = nullptr;
  CHECK(shim_recorder_create(engine, "{\"colour\": 1}", &recorder, error) == SHIM_REFUSED && error->engine_code == 432);
  CHECK(shim_recorder_create(engine, "\xff\xfe", &recorder, error) == SHIM_REFUSED && recorder == nullptr);
  CHECK(shim_recorder_create(engine, document.c_str(), &recorder, error) == SHIM_OK);
  std::size_t needed = 0;
  CHECK(shim_engine_status(engine, "nobody", nullptr, 0, &needed, error) == SHIM_REFUSED);
  CHECK(shim_engine_set_layout(engine, nullptr, 7, 0, error) == SHIM_REFUSED);
  CHECK(shim_engine_set_layout_by_identity(engine, "nobody", 2, "alice", error) == SHIM_REFUSED);
  CHECK(shim_engine_set_paused(engine, "\xff", 1, nullptr) == SHIM_REFUSED);
  CHECK(shim_engine_set_storage(engine, "nobody", "{\"bucket\": \"b\", \"endpoint\": \"http://b\"}", error) ==
        SHIM_REFUSED);
  CHECK(shim_engine_set_storage(engine, nullptr, nullptr, error) == SHIM_REFUSED && error->engine_code == 432);
  CHECK(shim_engine_set_streams(engine, nullptr, nullptr, error) == SHIM_REFUSED && error->engine_code == 432);
  CHECK(shim_engine_rescue(engine, nullptr, error) == SHIM_REFUSED);
  char answer[256];
  CHECK(shim_engine_merge(engine, "{}", answer, sizeof answer, error) == SHIM_REFUSED && error->engine_code == 432);
  CHECK(std::strstr(answer, "\"cause\":\"InvalidDocument\"") != nullptr);
  char few[4];
  CHECK(shim_recorder_id(recorder, few, sizeof few) == 32 && std::strlen(few) == 3);
  CHECK(shim_recorder_id(recorder, nullptr, 0) == 32);
  shim_start start = Arguments();
  start.layout = -1;
  CHECK(shim_recorder_start(recorder, &start, error) == SHIM_INVALID && std::strcmp(error->text, "layout") == 0);
  start = Arguments();
  start.struct_size = 8;
  CHECK(shim_recorder_start(recorder, &start, error) == SHIM_INVALID);
  start = Arguments();
  start.bucket = nullptr;
  CHECK(shim_recorder_start(recorder, &start, error) == SHIM_REFUSED && error->engine_code == 432);
  CHECK(shim_recorder_stop(recorder, error) == SHIM_REFUSED);
  CHECK(shim_recorder_release(recorder, 1, error) == SHIM_OK);
  CHECK(shim_recorder_release(recorder, 1, error) == SHIM_RELEASED);
  shim_recorder_free(recorder);
  shim_recorder_free(nullptr);
}

void ARecordingIsDriven(shim_engine *engine, const std::string &document, shim_error *error) {
  shim_recorder *recorder = nullptr;
  CHECK(shim_recorder_create(engine, document.c_str(), &recorder, error) == SHIM_OK);
  char id[64];
  CHECK(shim_recorder_id(recorder, id, sizeof id) == 32);
  const shim_start start = Arguments();
  CHECK(shim_recorder_start(recorder, &start, error) == SHIM_OK);
  Events events(recorder);
  CHECK(events.Await(SHIM_STARTED, 0));
  std::size_t needed = 0;
  CHECK(shim_engine_status(engine, id, nullptr, 0, &needed, error) == SHIM_OK && needed > 0);
  std::unique_ptr<char[]> status(new char[needed / 2]);
  CHECK(shim_engine_status(engine, id, status.get(), needed / 2, &needed, error) == SHIM_OK);
  CHECK(shim_engine_set_layout(engine, id, 2, 1, error) == SHIM_OK);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  CHECK(shim_recorder_stop(recorder, error) == SHIM_OK);
  CHECK(events.Await(SHIM_STOPPED, 0));
  CHECK(events.Await(SHIM_UPLOADER_FAILURE, 439));
  CHECK(shim_recorder_release(recorder, 1, error) == SHIM_OK);
  CHECK(shim_recorder_late_events(recorder) == 0);
  shim_recorder_free(recorder);
  CHECK(shim_engine_wait_drained(engine, kPatienceMs, error) == SHIM_OK);
}

void AFullQueueLosesNoEnding() {
  shim::EventQueue queue;
  shim_event event = {};
  event.type = SHIM_UPLOADER_FAILURE;
  event.code = 439;
  shim::copy_text(event.text, sizeof event.text, std::string(5000, '\xc3').c_str());
  for (int index = 0; index < 10000; ++index) queue.push(event);
  for (int code : {0, 441, -1, 1 << 30}) {
    event.type = SHIM_FATAL_ERROR;
    event.code = code;
    queue.push(event);
  }
  int endings = 0;
  while (queue.pop(&event)) endings += event.type == SHIM_FATAL_ERROR ? 1 : 0;
  CHECK(endings >= 3);
  queue.close();
  queue.push(event);
  CHECK(queue.late() == 1 && !queue.pop(&event));
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s <media file>\n", argv[0]);
    return 2;
  }
  char directory[] = "/tmp/shim-XXXXXX";
  CHECK(mkdtemp(directory) != nullptr);
  const std::string document = std::string("{\"workDir\": \"") + directory +
                               "\", \"sliceSeconds\": 2, \"storage\": {\"endpoint\": \"http://127.0.0.1:9\"}, "
                               "\"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"file://" +
                               argv[1] + "\"}]}]}";
  shim_error error;
  EnginesThatAreNoneAreRefused(&error);
  AFullQueueLosesNoEnding();
  shim_engine *engine = nullptr;
  CHECK(shim_engine_open(ENGINE, &engine, &error) == SHIM_OK);
  CHECK(shim_engine_api_version(engine) == 1);
  CallsThatAreWrongAreAnswered(engine, document, &error);
  ARecordingIsDriven(engine, document, &error);
  shim_engine_free(engine);
  return std::system((std::string("rm -r ") + directory).c_str());
}
