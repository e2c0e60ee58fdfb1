// SPDX-License-Identifier: Apache-2.0
//
// What every one of these programs asks: whether something holds, now or soon, and what the process holds on to.
#ifndef CLOUD_RECORDING_ABI_TESTS_CHECKS_H
#define CLOUD_RECORDING_ABI_TESTS_CHECKS_H

#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

const auto kPatience = std::chrono::seconds(60);

// Which case the test is at, for those that walk through many.
inline std::string &CurrentCase() {
  static std::string current;
  return current;
}

inline void Check(bool holds, const char *what, const char *file, int line) {
  if (!holds) {
    const std::string &current = CurrentCase();
    std::fprintf(stderr, "%s:%d: %s%snot so: %s\n", file, line, current.c_str(), current.empty() ? "" : ": ", what);
    // Fuzzers see what aborts.
    std::abort();
  }
}
#define CHECK(condition) Check(condition, #condition, __FILE__, __LINE__)

// The kernel takes a moment to forget a thread that was joined.
inline bool Settles(const std::function<bool()> &condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

inline int Entries(const char *directory) {
  int entries = 0;
  DIR *stream = opendir(directory);
  CHECK(stream != nullptr);
  while (readdir(stream) != nullptr) ++entries;
  closedir(stream);
  return entries;
}

// What the process holds on to.
struct Held {
  int threads = Entries("/proc/self/task");
  int descriptors = Entries("/proc/self/fd");

  bool operator==(const Held &other) const { return threads == other.threads && descriptors == other.descriptors; }
  // No more of either than there was.
  bool IsWithin(const Held &before) const { return threads <= before.threads && descriptors <= before.descriptors; }
};

// What is held when it has been the same for a while: a thread that has just ended is still counted.
inline Held SettledHeld() {
  Held held;
  for (int same = 0; same < 100; ++same) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Held now;
    if (!(now == held)) same = 0;
    held = now;
  }
  return held;
}

inline void CheckHoldsNoMoreThan(const Held &before) {
  if (Settles([&before] { return Held().IsWithin(before); })) return;
  const Held now;
  std::fprintf(stderr, "%d threads and %d descriptors, where there were %d and %d\n", now.threads, now.descriptors,
               before.threads, before.descriptors);
  CHECK(now.IsWithin(before));
}

inline long ResidentBytes() {
  // What the allocator keeps for later comes and goes by as much as a leak would be.
  malloc_trim(0);
  long size = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

#endif
