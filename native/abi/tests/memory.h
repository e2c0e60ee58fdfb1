// SPDX-License-Identifier: Apache-2.0
//
// An observer that remembers what it was told; what is told after `Close` shows in `told_late`, or as a crash.
#ifndef CLOUD_RECORDING_ABI_TESTS_MEMORY_H
#define CLOUD_RECORDING_ABI_TESTS_MEMORY_H

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "checks.h"

class Memory : public agora::cloud_recording::ICloudRecorderObserver {
 public:
  using Id = agora::cloud_recording::RecordingId;
  using Code = agora::cloud_recording::RecordingErrorCode;

  explicit Memory(std::function<void(const std::string &)> reaction = nullptr) : reaction_(std::move(reaction)) {}

  void OnRecordingConnecting(Id) override { Note("connecting"); }
  void OnRecordingStarted(Id) override { Note("started"); }
  void OnRecordingStopped(Id) override { Note("stopped"); }
  void OnRecordingUploaded(Id, const char *) override { Note("uploaded"); }
  void OnRecordingBackedUp(Id, const char *) override { Note("backed up"); }
  void OnRecordingUploadingProgress(Id, unsigned int, const char *) override { Note("progress"); }
  void OnRecorderFailure(Id, Code code, const char *) override { Note("recorder failure " + std::to_string(code)); }
  void OnUploaderFailure(Id, Code code, const char *) override { Note("uploader failure " + std::to_string(code)); }
  void OnRecordingFatalError(Id, Code code) override { Note("fatal " + std::to_string(code)); }

  // False where the callback does not come in good time.
  bool Await(const std::string &callback) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] {
      for (const std::string &each : told_) {
        if (each == callback) return true;
      }
      return false;
    });
  }

  std::vector<std::string> told() {
    std::lock_guard<std::mutex> lock(mutex_);
    return told_;
  }

  // From now on nothing may be told.
  void Close() { closed_ = true; }
  bool told_late() const { return told_late_; }
  // For whoever releases inside a callback: its end is the release's, and the end of its thread. Asked of that thread
  // alone: a listing of a process's threads may leave one out while others end.
  bool AwaitThreadsEnd() const {
    const std::string task = "/proc/self/task/" + std::to_string(task_);
    return Settles([&task] { return access(task.c_str(), F_OK) != 0; });
  }
  // Whose callback came last.
  std::thread::id thread() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return thread_;
  }

 private:
  void Note(const std::string &callback) {
    if (closed_) told_late_ = true;
    task_ = static_cast<pid_t>(syscall(SYS_gettid));
    {
      std::lock_guard<std::mutex> lock(mutex_);
      thread_ = std::this_thread::get_id();
      told_.push_back(callback);
    }
    changed_.notify_all();
    if (reaction_) reaction_(callback);
  }

  std::function<void(const std::string &)> reaction_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> told_late_{false};
  // The kernel's number of the thread whose callback came last.
  std::atomic<pid_t> task_{0};
  std::thread::id thread_;
};

#endif
