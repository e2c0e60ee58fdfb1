// SPDX-License-Identifier: Apache-2.0
//
// Records a channel into a bucket by the published interface; prints a line for each callback.
//
//   CLOUD_RECORDING_CHANNEL_FILE=channel.json record --channel room --bucket films [--seconds 45] …
//
// With `--status 10` it also prints every ten seconds what the library knows beyond that interface, as JSON.
// It stops after the seconds, or on SIGINT or SIGTERM, waits for the end of the upload, and ends with 0 if everything
// is stored, 1 if the recording failed, 2 if it could not be started. SIGUSR2 pauses it and resumes it, which the
// published interface has no room for; so does SIGHUP, which has the streams of the document `--edit` in the channel
// from then on. The keys come from the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "cloud_recording.h"

using agora::cloud_recording::CloudStorageConfig;
using agora::cloud_recording::CloudStorageVendor;
using agora::cloud_recording::CreateCloudRecorderInstance;
using agora::cloud_recording::ICloudRecorder;
using agora::cloud_recording::ICloudRecorderObserver;
using agora::cloud_recording::kCloudStorageVendorAws;
using agora::cloud_recording::MixedVideoLayoutType;
using agora::cloud_recording::RecordingConfig;
using agora::cloud_recording::RecordingErrorCode;
using agora::cloud_recording::RecordingId;

namespace {

enum class Outcome { kNone, kStored, kFailed };

class Printer : public ICloudRecorderObserver {
 public:
  void OnRecordingConnecting(RecordingId id) override { Print("connecting", id); }
  void OnRecordingStarted(RecordingId id) override { Print("started", id); }
  void OnRecordingStopped(RecordingId id) override { Print("stopped", id); }
  void OnRecordingUploaded(RecordingId id, const char *file_name) override {
    Print("uploaded", id, file_name);
    End(Outcome::kStored);
  }
  void OnRecordingBackedUp(RecordingId id, const char *file_name) override {
    Print("backed-up", id, file_name);
    End(Outcome::kStored);
  }
  void OnRecordingUploadingProgress(RecordingId id, unsigned int progress, const char *playlist) override {
    Print("progress", id, std::to_string(progress) + " " + playlist);
  }
  void OnRecorderFailure(RecordingId id, RecordingErrorCode code, const char *msg) override {
    Print("recorder-failure", id, std::to_string(code) + " " + msg);
  }
  void OnUploaderFailure(RecordingId id, RecordingErrorCode code, const char *msg) override {
    Print("uploader-failure", id, std::to_string(code) + " " + msg);
  }
  void OnRecordingFatalError(RecordingId id, RecordingErrorCode code) override {
    Print("fatal", id, std::to_string(code));
    End(Outcome::kFailed);
  }

  Outcome Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return outcome_ != Outcome::kNone; });
    return outcome_;
  }

  // Ends a wait for a signal, too: the recording may end by itself.
  void WakeOnEnd(pthread_t thread, int signal) {
    std::lock_guard<std::mutex> lock(mutex_);
    thread_ = thread;
    signal_ = signal;
  }

 private:
  void Print(const char *callback, RecordingId id, const std::string &rest = "") {
    std::printf("%s %s%s%s\n", callback, id, rest.empty() ? "" : " ", rest.c_str());
    std::fflush(stdout);
  }

  void End(Outcome outcome) {
    std::lock_guard<std::mutex> lock(mutex_);
    outcome_ = outcome;
    ended_.notify_all();
    pthread_kill(thread_, signal_);
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  Outcome outcome_ = Outcome::kNone;
  pthread_t thread_ = pthread_self();
  int signal_ = 0;
};

std::map<std::string, std::string> Options(int argc, char **argv) {
  std::map<std::string, std::string> options = {
      {"--app", "app"},        {"--channel", "room"}, {"--uid", "4294967295"}, {"--bucket", ""},
      {"--region", "0"},       {"--vendor", "1"},     {"--seconds", "0"},      {"--idle", "30"},
      {"--width", "640"},      {"--height", "360"},   {"--fps", "15"},         {"--bitrate", "500"},
      {"--layout", "1"},       {"--streams", "2"},    {"--profile", "0"},      {"--status", "0"},
      {"--edit", ""},          {"--token", ""},       {"--decryption", "0"},   {"--secret", ""},
      {"--video-stream", "0"},
  };
  for (int index = 1; index + 1 < argc; index += 2) {
    if (options.count(argv[index]) == 0) {
      std::fprintf(stderr, "unknown option %s\n", argv[index]);
      std::exit(2);
    }
    options[argv[index]] = argv[index + 1];
  }
  return options;
}

std::string Environment(const char *name) {
  const char *value = std::getenv(name);
  return value == nullptr ? "" : value;
}

unsigned Number(const std::string &text) { return static_cast<unsigned>(std::strtoul(text.c_str(), nullptr, 10)); }

int Start(ICloudRecorder *recorder, std::map<std::string, std::string> &options) {
  RecordingConfig recording;
  recording.recording_stream_types =
      static_cast<agora::cloud_recording::RecordingStreamType>(Number(options["--streams"]));
  recording.video_stream_type = static_cast<agora::cloud_recording::VideoStreamType>(Number(options["--video-stream"]));
  recording.audio_profile = static_cast<agora::cloud_recording::AudioProfile>(Number(options["--profile"]));
  std::string secret = options["--secret"];
  recording.decryption_mode = static_cast<agora::cloud_recording::DecryptionMode>(Number(options["--decryption"]));
  recording.secret = &secret[0];
  recording.max_idle_time = Number(options["--idle"]);
  recording.SetTranscodingWidth(Number(options["--width"]));
  recording.SetTranscodingHeight(Number(options["--height"]));
  recording.SetTranscodingFPS(Number(options["--fps"]));
  recording.SetTranscodingBitrate(Number(options["--bitrate"]));
  recording.SetTranscodingMixedVideoLayout(static_cast<MixedVideoLayoutType>(Number(options["--layout"])), 0);
  std::string bucket = options["--bucket"];
  std::string access_key = Environment("AWS_ACCESS_KEY_ID");
  std::string secret_key = Environment("AWS_SECRET_ACCESS_KEY");
  CloudStorageConfig storage = {static_cast<CloudStorageVendor>(Number(options["--vendor"])),
                                Number(options["--region"]), &bucket[0], &access_key[0], &secret_key[0]};
  return recorder->StartCloudRecording(options["--app"].c_str(), options["--channel"].c_str(),
                                       options["--token"].c_str(), Number(options["--uid"]), recording, storage);
}

double Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// The next of the signals; 0 when `seconds` are over.
int NextSignal(const sigset_t &signals, double seconds) {
  const timespec timeout = {static_cast<time_t>(seconds), static_cast<long>((seconds - std::floor(seconds)) * 1e9)};
  const int signal = sigtimedwait(&signals, nullptr, &timeout);
  return signal < 0 ? 0 : signal;
}

void PrintStatus(const char *recording_id) {
  const int64_t length = cr_status(recording_id, nullptr, 0);
  if (length < 0) {
    return;
  }
  // Room for what it may grow by until it is copied.
  std::vector<char> text(static_cast<size_t>(length) + 4096);
  cr_status(recording_id, text.data(), text.size());
  std::printf("status %s %s\n", recording_id, text.data());
  std::fflush(stdout);
}

// Has the streams of this document in the channel.
void Edit(const char *recording_id, const std::string &path) {
  std::ifstream file(path);
  const std::string document((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  char reason[256] = "";
  const int code = cr_set_streams(recording_id, document.c_str(), reason, sizeof reason);
  std::printf("edited %d %s\n", code, reason);
  std::fflush(stdout);
}

// Returns when the seconds are over (never, if 0), when a person asks for the end, or when the recording has ended.
// Meanwhile prints the status every `interval` seconds (never, if 0).
void WaitForStop(ICloudRecorder *recorder, const sigset_t &signals, unsigned seconds, unsigned interval,
                 const std::string &edit) {
  const double never = 1e9;
  const double step = interval == 0 ? never : interval;
  const double end = Now() + (seconds == 0 ? never : seconds);
  double next = Now() + step;
  bool paused = false;
  while (true) {
    const int signal = NextSignal(signals, std::max(0.0, std::min(next, end) - Now()));
    if (signal == SIGUSR2) {
      paused = !paused;
      cr_set_paused(recorder->GetRecordingId(), paused ? 1 : 0);
    } else if (signal == SIGHUP) {
      Edit(recorder->GetRecordingId(), edit);
    } else if (signal != 0 || Now() >= end) {
      return;
    } else {
      PrintStatus(recorder->GetRecordingId());
      next += step;
    }
  }
}

}  // namespace

int main(int argc, char **argv) {
  std::map<std::string, std::string> options = Options(argc, argv);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  sigaddset(&signals, SIGHUP);
  // Before the library's threads are made, so that they do not take the signals.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Printer printer;
  printer.WakeOnEnd(pthread_self(), SIGUSR1);
  ICloudRecorder *recorder = CreateCloudRecorderInstance(&printer);
  std::printf("created %s\n", recorder->GetRecordingId());
  std::fflush(stdout);
  const int code = Start(recorder, options);
  if (code != 0) {
    printer.Wait();
    recorder->Release(true);
    std::printf("refused %d\n", code);
    return 2;
  }
  WaitForStop(recorder, signals, Number(options["--seconds"]), Number(options["--status"]), options["--edit"]);
  recorder->StopCloudRecording();
  const Outcome outcome = printer.Wait();
  recorder->Release(outcome == Outcome::kFailed);
  // The library clears up behind Release, and writes its last lines; a bucket that is away is not waited for.
  cr_wait_drained(3000);
  return outcome == Outcome::kStored ? 0 : 1;
}
