// SPDX-License-Identifier: Apache-2.0
//
// A directory of a program's own, which it works in, gone with all that is in it when the program is done; a failed
// check leaves it to be looked at.
#ifndef CLOUD_RECORDING_ABI_TESTS_SCRATCH_H
#define CLOUD_RECORDING_ABI_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "checks.h"

class Scratch {
 public:
  explicit Scratch(const std::string &name) : path_("/tmp/" + name + "-XXXXXX") {
    CHECK(mkdtemp(&path_[0]) != nullptr && chdir(path_.c_str()) == 0);
  }
  // What an upload in the background still writes there comes to an end.
  ~Scratch() {
    CHECK(Settles([this] { return nftw(path_.c_str(), &Remove, kDescriptors, FTW_DEPTH | FTW_PHYS) == 0; }));
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;

  const std::string &path() const { return path_; }

 private:
  static const int kDescriptors = 16;

  static int Remove(const char *path, const struct stat *, int, struct FTW *) { return std::remove(path); }

  std::string path_;
};

#endif
