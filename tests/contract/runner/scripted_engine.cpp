// SPDX-License-Identifier: Apache-2.0
// An engine that includes the published header only, for tests: it does what the App ID tells it to.
//
// The App ID is "<after start>|<after stop>", each a list of steps separated by ','. Steps: connecting, started,
// stopped, uploaded, backedup, progress=<percent>, failure=<code>, upload-failure=<code>, fatal=<code>, sleep=<ms>,
// storm=<threads>x<calls>, print=<text>, crash, crash-unless=<path> (once: makes the file), hang.
// Beside those, anywhere: refuse-start=<code>, hang-start, hang-stop, hang-release, late (calls after Release).
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "IAgoraCloudRecording.h"

using namespace agora::cloud_recording;

namespace {

std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

[[noreturn]] void hang() {
  for (;;) pause();
}

std::string random_id() {
  std::random_device device;
  std::string id;
  while (id.size() < 32) id += "0123456789abcdef"[device() % 16];
  return id;
}

class ScriptedRecorder final : public ICloudRecorder {
 public:
  explicit ScriptedRecorder(ICloudRecorderObserver *observer) : observer_(observer), id_(random_id()) {}

  RecordingId GetRecordingId() override { return id_.c_str(); }

  int StartCloudRecording(const char *app_id, const char *channel_name, const char *token, const uid_t,
                          const RecordingConfig &, const CloudStorageConfig &storage) override {
    playlist_ = id_ + "_" + channel_name + ".m3u8";
    secrets_ = std::string(storage.access_key) + " " + storage.secret_key + " " + (token ? token : "");
    const std::vector<std::string> halves = split(app_id, '|');
    const std::vector<std::string> begin = split(halves.empty() ? "" : halves[0], ',');
    end_ = split(halves.size() > 1 ? halves[1] : "stopped,uploaded", ',');
    for (const std::string &step : begin) {
      if (step.rfind("refuse-start=", 0) == 0) return std::stoi(step.substr(13));
      if (step == "hang-start") hang();
      hang_stop_ |= step == "hang-stop";
      hang_release_ |= step == "hang-release";
      late_ |= step == "late";
    }
    run(begin);
    return 0;
  }

  int StopCloudRecording() override {
    if (hang_stop_) hang();
    run(end_);
    return 0;
  }

  void Release(bool) override {
    if (hang_release_) hang();
    for (std::thread &worker : workers_) worker.join();
    if (late_) observer_->OnRecorderFailure(id_.c_str(), kRecordingErrorGeneralError, "called after Release");
    if (late_) {
      ICloudRecorderObserver *observer = observer_;
      std::thread([observer] {
        usleep(100000);
        observer->OnRecordingStarted("too late");
      }).detach();
    }
    delete this;
  }

 private:
  void run(const std::vector<std::string> &steps) {
    workers_.emplace_back([this, steps] {
      for (const std::string &step : steps) perform(step);
    });
  }

  void perform(const std::string &step) {
    const std::size_t equals = step.find('=');
    const std::string name = step.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : step.substr(equals + 1);
    const char *id = id_.c_str();
    if (name == "connecting") observer_->OnRecordingConnecting(id);
    if (name == "started") observer_->OnRecordingStarted(id);
    if (name == "stopped") observer_->OnRecordingStopped(id);
    if (name == "uploaded") observer_->OnRecordingUploaded(id, playlist_.c_str());
    if (name == "backedup") observer_->OnRecordingBackedUp(id, playlist_.c_str());
    if (name == "progress") observer_->OnRecordingUploadingProgress(id, std::stoul(value), playlist_.c_str());
    if (name == "failure") observer_->OnRecorderFailure(id, code(value), "a recorder failure");
    if (name == "upload-failure")
      observer_->OnUploaderFailure(id, code(value), ("the bucket refused " + secrets_).c_str());
    if (name == "fatal") observer_->OnRecordingFatalError(id, code(value));
    if (name == "sleep") usleep(std::stoul(value) * 1000);
    if (name == "storm") storm(value);
    if (name == "print") std::printf("%s with %s\n", value.c_str(), secrets_.c_str()), std::fflush(stdout);
    if (name == "crash") std::raise(SIGSEGV);
    if (name == "crash-unless") crash_unless(value);
    if (name == "hang") hang();
  }

  static RecordingErrorCode code(const std::string &value) { return static_cast<RecordingErrorCode>(std::stoi(value)); }

  static void crash_unless(const std::string &path) {
    if (access(path.c_str(), F_OK) == 0) return;
    std::fclose(std::fopen(path.c_str(), "w"));
    std::raise(SIGSEGV);
  }

  void storm(const std::string &value) {
    const std::vector<std::string> numbers = split(value, 'x');
    std::vector<std::thread> threads;
    for (unsigned long thread = 0; thread < std::stoul(numbers[0]); ++thread) {
      threads.emplace_back([this, calls = std::stoul(numbers[1])] {
        for (unsigned long call = 0; call < calls; ++call) {
          observer_->OnRecorderFailure(id_.c_str(), kRecordingErrorGeneralError, "one of a storm");
          observer_->OnRecordingUploadingProgress(id_.c_str(), call % 101, playlist_.c_str());
        }
      });
    }
    for (std::thread &thread : threads) thread.join();
  }

  ICloudRecorderObserver *observer_;
  std::string id_;
  std::string playlist_;
  std::string secrets_;
  std::vector<std::string> end_;
  std::vector<std::thread> workers_;
  bool hang_stop_ = false;
  bool hang_release_ = false;
  bool late_ = false;
};

}  // namespace

namespace agora {
namespace cloud_recording {

ICloudRecorder *CreateCloudRecorderInstance(ICloudRecorderObserver *observer) { return new ScriptedRecorder(observer); }

}  // namespace cloud_recording
}  // namespace agora
