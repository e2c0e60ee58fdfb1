// SPDX-License-Identifier: Apache-2.0
//
// Promise: no argument of the published functions or of the C functions harms the process. Null, text that is no UTF-8,
// numbers that no enumeration has, buffers of any size, identifiers of nobody: each is answered.
//
// usage: arguments <seconds> <input>...    Tries the inputs, then what chance makes of them.
// Built with CLOUD_RECORDING_FUZZED it is the fuzzing target of the same name instead.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "IAgoraCloudRecording.h"
#include "checks.h"
#include "cloud_recording.h"
#include "scratch.h"

using namespace agora::cloud_recording;  // NOLINT(google-build-using-namespace): a test of that namespace

namespace {

// Takes the input apart; when it is used up, everything is zero.
class Input {
 public:
  Input(const std::uint8_t *data, std::size_t size) : data_(data), size_(size) {}

  std::uint8_t Byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

  std::uint32_t Number() {
    std::uint32_t number = 0;
    for (int byte = 0; byte < 4; ++byte) number = number << 8 | Byte();
    return number;
  }

  // Null one time in four; else up to 255 bytes, or 64 KiB of one of them.
  const char *Text() {
    const std::uint8_t kind = Byte();
    if (kind % 4 == 0) return nullptr;
    std::string text;
    if (kind % 16 == 1) {
      text.assign(1 << 16, static_cast<char>(Byte() | 1));
    } else {
      for (std::uint8_t left = Byte(); left > 0 && size_ > 0; --left) text.push_back(static_cast<char>(Byte()));
    }
    texts_.emplace_back(new std::string(text));
    return texts_.back()->c_str();
  }

  std::string Rest() { return std::string(reinterpret_cast<const char *>(data_), size_); }

 private:
  const std::uint8_t *data_;
  std::size_t size_;
  std::vector<std::unique_ptr<std::string>> texts_;
};

// Values as an old program in another language might pass them.
template <typename Enum>
Enum Any(std::uint32_t number) {
  Enum value;
  static_assert(sizeof value == sizeof number, "enumerations are numbers of 32 bits");
  std::memcpy(&value, &number, sizeof value);
  return value;
}

// A buffer of exactly n bytes: the sanitizer knows what lies behind it.
struct Buffer {
  explicit Buffer(std::size_t n) : size(n), bytes(n == 0 ? nullptr : new char[n]) {
    if (n > 0) std::memset(bytes.get(), 'x', n);
  }
  bool terminated() const { return size == 0 || std::memchr(bytes.get(), 0, size) != nullptr; }
  std::size_t size;
  std::unique_ptr<char[]> bytes;
};

const std::string &WorkDirectory() {
  static const Scratch directory("arguments");
  return directory.path();
}

// A channel that is never reached, and a bucket neither: both on the loopback.
void ConfigureHarmlessly() {
  const std::string document = "{\"workDir\": \"" + WorkDirectory() +
                               "\", \"protocols\": [\"tcp\"], \"storage\": {\"endpoint\": \"http://127.0.0.1:9\"}, "
                               "\"channels\": [{\"streams\": [{\"uid\": 1, \"url\": \"tcp://127.0.0.1:9\"}]}]}";
  CHECK(cr_configure_next(document.c_str(), nullptr, 0) == 0);
}

void TryRecorder(Input *input) {
  ConfigureHarmlessly();
  CloudRecorderObserver observer;
  ICloudRecorder *recorder = CreateCloudRecorderInstance(input->Byte() % 2 == 0 ? nullptr : &observer);
  CHECK(recorder != nullptr);
  CHECK(std::strlen(recorder->GetRecordingId()) == 32);
  RecordingConfig recording;
  recording.recording_stream_types = Any<RecordingStreamType>(input->Number());
  recording.decryption_mode = Any<DecryptionMode>(input->Number());
  recording.secret = const_cast<char *>(input->Text());
  recording.channel_type = Any<ChannelType>(input->Number());
  recording.audio_profile = Any<AudioProfile>(input->Number());
  recording.video_stream_type = Any<VideoStreamType>(input->Number());
  recording.max_idle_time = input->Number();
  recording.SetTranscodingWidth(input->Number());
  recording.SetTranscodingHeight(input->Number());
  recording.SetTranscodingFPS(input->Number());
  recording.SetTranscodingBitrate(input->Number());
  recording.SetTranscodingMixedVideoLayout(Any<MixedVideoLayoutType>(input->Number()), input->Number());
  CloudStorageConfig storage = {};
  storage.vendor = Any<CloudStorageVendor>(input->Number());
  storage.region = input->Number();
  storage.bucket = const_cast<char *>(input->Text());
  storage.access_key = const_cast<char *>(input->Text());
  storage.secret_key = const_cast<char *>(input->Text());
  const char *app = input->Text();
  const char *channel = input->Text();
  const char *token = input->Text();
  const int started = recorder->StartCloudRecording(app, channel, token, input->Number(), recording, storage);
  CHECK(started == 0 || (started >= kRecordingErrorConnectError && started <= kRecordingErrorGeneralError));
  // Whatever is missing is missed: these are required.
  if (app == nullptr || channel == nullptr || storage.bucket == nullptr)
    CHECK(started == kRecordingErrorInvalidParameter);
  const int stopped = recorder->StopCloudRecording();
  CHECK(started == 0 || stopped == kRecordingErrorInvalidOperation);
  recorder->Release(true);
}

void TryFunctions(Input *input) {
  const std::uint8_t which = input->Byte();
  const Buffer buffer(input->Byte() % 64);
  const char *id = input->Text();
  const int number = static_cast<int>(input->Number());
  switch (which % 6) {
    case 0:
      CHECK(cr_status(id, buffer.bytes.get(), buffer.size) == -1);
      break;
    case 1:
      CHECK(cr_set_layout(id, number, input->Number()) == kRecordingErrorInvalidParameter);
      break;
    case 2:
      CHECK(cr_set_paused(id, number) == kRecordingErrorInvalidParameter);
      break;
    case 3:
      CHECK(cr_set_streams(id, input->Rest().c_str(), buffer.bytes.get(), buffer.size) ==
            kRecordingErrorInvalidParameter);
      if (buffer.size > 0) CHECK(buffer.terminated());
      break;
    case 4:
      if (cr_configure_next(input->Rest().c_str(), buffer.bytes.get(), buffer.size) != 0) CHECK(buffer.terminated());
      break;
    default:
      // Not configurations that hold: they would be acted upon.
      if (cr_configure_next(input->Rest().c_str(), nullptr, 0) != 0) {
        CHECK(cr_rescue(input->Rest().c_str(), buffer.bytes.get(), buffer.size) != 0);
        CHECK(buffer.terminated());
        CHECK(cr_merge(input->Rest().c_str(), buffer.bytes.get(), buffer.size) != 0);
        CHECK(buffer.terminated());
      }
  }
}

void TryStatus(Input *input) {
  ConfigureHarmlessly();
  ICloudRecorder *recorder = CreateCloudRecorderInstance(nullptr);
  const std::string id = recorder->GetRecordingId();
  const Buffer buffer(input->Number() % 4096);
  const std::int64_t length = cr_status(id.c_str(), buffer.bytes.get(), buffer.size);
  CHECK(length > 0 && buffer.terminated());
  if (buffer.size > 0) {
    CHECK(std::strlen(buffer.bytes.get()) <= std::min(buffer.size - 1, static_cast<std::size_t>(length)));
  }
  recorder->Release(true);
}

void Try(const std::uint8_t *data, std::size_t size) {
  Input input(data, size);
  switch (input.Byte() % 3) {
    case 0:
      return TryRecorder(&input);
    case 1:
      return TryFunctions(&input);
    default:
      return TryStatus(&input);
  }
}

}  // namespace

#ifdef CLOUD_RECORDING_FUZZED

extern "C" void cloud_recording_try_arguments(const std::uint8_t *data, std::size_t size) { Try(data, size); }

#else

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s <seconds> <input>...\n", argv[0]);
    return 2;
  }
  std::vector<std::string> inputs;
  for (int index = 2; index < argc; ++index) {
    std::ifstream file(argv[index], std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  for (const std::string &input : inputs) Try(reinterpret_cast<const std::uint8_t *>(input.data()), input.size());
  std::mt19937 random(1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[1]));
  while (std::chrono::steady_clock::now() < end) {
    std::string input = inputs[random() % inputs.size()];
    for (std::size_t changes = 1 + random() % 8; changes > 0 && !input.empty(); --changes) {
      input[random() % input.size()] = static_cast<char>(random());
    }
    Try(reinterpret_cast<const std::uint8_t *>(input.data()), input.size());
  }
  return 0;
}

#endif
