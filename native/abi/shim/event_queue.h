// SPDX-License-Identifier: Apache-2.0
// The queue between an engine's threads and the one reader: bounded, never blocking, never losing a kind of news.
#ifndef CLOUD_RECORDING_EVENT_QUEUE_H
#define CLOUD_RECORDING_EVENT_QUEUE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "shim.h"

namespace shim {

// How a full queue behaves decides whether an engine can be stalled or an ending be lost, so it is fixed here:
//  - push takes constant time under a lock that is held only to copy one event, allocates nothing and waits for nobody;
//  - while fewer than kOrdinary events wait, each callback is its own event, in order;
//  - beyond that a callback is folded into the newest waiting event of the same type and code, which counts it in
//  `repeats`
//    (and, for progress, takes over the newer figure); one whose type and code is not waiting yet is always appended.
// So an ending (stopped, uploaded, backed up, fatal, NoUsers) can never be pushed out by a storm of anything else, and
// the queue never exceeds kOrdinary + kKinds events: the excess holds each kind at most once.
class EventQueue {
 public:
  EventQueue();
  ~EventQueue();
  EventQueue(const EventQueue &) = delete;
  EventQueue &operator=(const EventQueue &) = delete;

  void push(const shim_event &event) noexcept;
  bool pop(shim_event *event) noexcept;
  // From now on events are counted as late and discarded; waiting ones stay readable.
  void close() noexcept;
  int fd() const noexcept { return fd_; }
  std::uint64_t late() const noexcept;

 private:
  static constexpr std::size_t kOrdinary = 256;
  // Those of the interface, Ok and one class for whatever else an engine invents.
  static constexpr std::int32_t kFirstCode = agora::cloud_recording::kRecordingErrorConnectError;
  static constexpr std::int32_t kLastCode = agora::cloud_recording::kRecordingErrorGeneralError;
  static constexpr std::size_t kCodes = kLastCode - kFirstCode + 3;
  static constexpr std::size_t kKinds = SHIM_EVENT_TYPES * kCodes;
  static constexpr std::size_t kCapacity = kOrdinary + kKinds;

  struct Kind {
    std::size_t waiting = 0;
    std::size_t newest = 0;
  };

  static std::size_t kind_of(const shim_event &event) noexcept;

  mutable std::mutex mutex_;
  std::vector<shim_event> slots_;
  std::array<Kind, kKinds> kinds_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::uint64_t late_ = 0;
  bool closed_ = false;
  int fd_;
};

}  // namespace shim

#endif
