// SPDX-License-Identifier: Apache-2.0
#include "event_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace shim {

EventQueue::EventQueue() : slots_(kCapacity), kinds_{}, fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
}

EventQueue::~EventQueue() { ::close(fd_); }

std::size_t EventQueue::kind_of(const shim_event &event) noexcept {
  std::size_t code = kCodes - 1;
  if (event.code == 0) {
    code = 0;
  } else if (event.code >= kFirstCode && event.code <= kLastCode) {
    code = static_cast<std::size_t>(event.code - kFirstCode + 1);
  }
  return static_cast<std::size_t>(event.type) * kCodes + code;
}

void EventQueue::push(const shim_event &event) noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) {
      ++late_;
      return;
    }
    Kind &kind = kinds_[kind_of(event)];
    if (size_ >= kOrdinary && kind.waiting > 0) {
      shim_event &newest = slots_[kind.newest];
      ++newest.repeats;
      if (event.type == SHIM_UPLOADING_PROGRESS) {
        newest.progress = event.progress;
        newest.time_ms = event.time_ms;
        std::memcpy(newest.text, event.text, sizeof newest.text);
      }
    } else {
      kind.newest = (first_ + size_) % kCapacity;
      ++kind.waiting;
      slots_[kind.newest] = event;
      ++size_;
    }
  }
  // Can only fail when the counter is full, and then the descriptor is readable, which is all that is asked.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

bool EventQueue::pop(shim_event *event) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (size_ == 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t consumed = ::read(fd_, &count, sizeof count);
    return false;
  }
  *event = slots_[first_];
  --kinds_[kind_of(*event)].waiting;
  first_ = (first_ + 1) % kCapacity;
  --size_;
  return true;
}

void EventQueue::close() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
}

std::uint64_t EventQueue::late() const noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  return late_;
}

}  // namespace shim
