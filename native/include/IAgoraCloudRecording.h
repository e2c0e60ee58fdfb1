// SPDX-License-Identifier: Apache-2.0
//
// The recorder interface: records what happens in a channel and stores it in a bucket.
//
// One ICloudRecorder is one recording. Create it with CreateCloudRecorderInstance, begin with StartCloudRecording, end
// with StopCloudRecording, wait for OnRecordingUploaded or OnRecordingBackedUp, and give the instance back with
// Release. Functions may be called from any thread. The observer's functions are called from one thread of the
// instance, one at a time and in order. Calling the recorder from within them is allowed; Release then takes effect as
// the observer's function returns.
//
// Binary interface: Itanium C++ ABI. No type of the C++ standard library crosses it, no exception leaves the library,
// and none may leave an observer's function. The numbers of enumerations, the order of members and the order of virtual
// functions are fixed.
#ifndef AGORA_CLOUD_RECORDING_IAGORACLOUDRECORDING_H
#define AGORA_CLOUD_RECORDING_IAGORACLOUDRECORDING_H

#if defined(__GNUC__)
#define AGORA_CLOUD_RECORDING_API __attribute__((visibility("default")))
#else
#define AGORA_CLOUD_RECORDING_API
#endif

namespace agora {
namespace cloud_recording {

// 32 lower-case hexadecimal digits, unique to the recording; they begin the name of each of its files.
typedef const char *RecordingId;

// A user in a channel. 0 is nobody.
typedef unsigned int uid_t;

// Sampled at 48 kHz, encoded as AAC.
enum AudioProfile {
  // Mono, up to 48 kbit/s.
  kAudioProfileMusicStandard = 0,
  // Mono, up to 128 kbit/s.
  kAudioProfileMusicHighQuality = 1,
  // Stereo, up to 192 kbit/s.
  kAudioProfileMusicHighQualityStereo = 2,
};

// Which of a user's two video streams is recorded, where the user sends two.
enum VideoStreamType {
  kVideoStreamTypeHigh = 0,
  kVideoStreamTypeLow = 1,
};

enum RecordingStreamType {
  kStreamTypeAudioOnly = 0,
  kStreamTypeVideoOnly = 1,
  kStreamTypeAudioVideo = 2,
};

// How the users' pictures are arranged on the canvas.
enum MixedVideoLayoutType {
  // The first user fills the canvas, the others lie on top in small regions.
  kMixedVideoLayoutTypeFloat = 0,
  // A grid of equal regions.
  kMixedVideoLayoutTypeBestFit = 1,
  // One user large at the left, the others down the right edge.
  kMixedVideolayoutTypeVertical = 2,
};

enum ChannelType {
  kChannelTypeCommunication = 0,
  kChannelTypeLive = 1,
};

enum CloudStorageVendor {
  kCloudStorageVendorQiniu = 0,
  kCloudStorageVendorAws = 1,
  kCloudStorageVendorAliyun = 2,
};

// How the channel's media is encrypted.
enum DecryptionMode {
  kModeNone = 0,
  kModeAes128Xts = 1,
  kModeAes128Ecb = 2,
  kModeAes256Xts = 3,
};

enum RecordingErrorCode {
  kRecordingErrorOk = 0,
  // The channel refuses the recorder.
  kRecordingErrorConnectError = 430,
  // The connection to everybody in the channel was lost; the recorder tries to get back.
  kRecordingErrorDisconnected = 431,
  // A parameter or the configuration is wrong.
  kRecordingErrorInvalidParameter = 432,
  // The call does not fit the recording's state.
  kRecordingErrorInvalidOperation = 433,
  // Nobody was in the channel for max_idle_time.
  kRecordingErrorNoUsers = 434,
  // The recording ended before anything was recorded.
  kRecordingErrorNoRecordedData = 435,
  // The recorder could not begin.
  kRecordingErrorRecorderInit = 436,
  // The recorder broke while recording.
  kRecordingErrorRecorderFailed = 437,
  // The upload could not begin.
  kRecordingErrorUploaderInit = 438,
  // The bucket refuses a file or cannot be reached.
  kRecordingErrorUploaderFailed = 439,
  // The backup store refuses a file or cannot be reached.
  kRecordingErrorBackupFailed = 440,
  // The process of the recorder ended unexpectedly.
  kRecordingErrorRecorderExit = 441,
  kRecordingErrorGeneralError = 442,
};

struct MixedVideoLayout {
  MixedVideoLayoutType layout;
  uid_t max_resolution_uid;
};

// Where the files go. The strings are read during StartCloudRecording only.
struct CloudStorageConfig {
  CloudStorageVendor vendor;
  // The vendor's region by its index in the vendor's list.
  unsigned int region;
  char *bucket;
  char *access_key;
  char *secret_key;
};

// The composed picture.
struct TranscodingConfig {
  // In pixels; even; at most 1920 x 1080 either way round.
  unsigned int width;
  unsigned int height;
  // Frames per second, 1 to 60.
  unsigned int fps;
  // In kbit/s.
  unsigned int bitrate;
  // The user whose picture is large in the vertical layout; 0 is nobody.
  uid_t max_resolution_uid;
  MixedVideoLayoutType layout;

  TranscodingConfig()
      : width(360), height(640), fps(15), bitrate(500), max_resolution_uid(0), layout(kMixedVideoLayoutTypeFloat) {}
};

struct RecordingConfig {
  RecordingStreamType recording_stream_types;
  DecryptionMode decryption_mode;
  // Needed where decryption_mode is not kModeNone: a LiveKit room's shared key.
  char *secret;
  ChannelType channel_type;
  AudioProfile audio_profile;
  VideoStreamType video_stream_type;
  // Seconds without anybody in the channel after which the recorder leaves by itself: at least 5; 0 is the default.
  unsigned int max_idle_time;
  TranscodingConfig transcoding_config;

  RecordingConfig()
      : recording_stream_types(kStreamTypeAudioVideo),
        decryption_mode(kModeNone),
        secret(0),
        channel_type(kChannelTypeCommunication),
        audio_profile(kAudioProfileMusicStandard),
        video_stream_type(kVideoStreamTypeHigh),
        max_idle_time(30),
        transcoding_config() {}

  void SetTranscodingWidth(unsigned int width) { transcoding_config.width = width; }
  void SetTranscodingHeight(unsigned int height) { transcoding_config.height = height; }
  void SetTranscodingFPS(unsigned int fps) { transcoding_config.fps = fps; }
  void SetTranscodingBitrate(unsigned int bitrate) { transcoding_config.bitrate = bitrate; }
  void SetTranscodingMixedVideoLayout(MixedVideoLayoutType type, uid_t max_resolution_uid) {
    transcoding_config.layout = type;
    transcoding_config.max_resolution_uid = max_resolution_uid;
  }
};

// Is told what becomes of a recording. Every string is valid during the call only.
class ICloudRecorderObserver {
 public:
  virtual ~ICloudRecorderObserver() {}

  // The recorder is connecting to the channel.
  virtual void OnRecordingConnecting(RecordingId recording_id) = 0;

  // A user was seen in the channel: the recording has begun.
  virtual void OnRecordingStarted(RecordingId recording_id) = 0;

  // The recorder has left the channel; what is not yet in the bucket is being uploaded.
  virtual void OnRecordingStopped(RecordingId recording_id) = 0;

  // Every file is in the bucket. file_name is the playlist's name.
  virtual void OnRecordingUploaded(RecordingId recording_id, const char *file_name) = 0;

  // Every file is stored, at least one of them in the backup store only, from where it still comes to the bucket.
  // file_name is the playlist's name in the backup store. After a stop, either this comes or OnRecordingUploaded.
  virtual void OnRecordingBackedUp(RecordingId recording_id, const char *file_name) = 0;

  // About once a minute: how many per cent of the recorded files are in the bucket.
  virtual void OnRecordingUploadingProgress(RecordingId recording_id, unsigned int progress,
                                            const char *recording_playlist_filename) = 0;

  // Something about recording that a person may want to know.
  virtual void OnRecorderFailure(RecordingId recording_id, RecordingErrorCode code, const char *msg) = 0;

  // Something about the upload that a person may want to know, and how to mend it. The upload keeps trying.
  virtual void OnUploaderFailure(RecordingId recording_id, RecordingErrorCode code, const char *msg) = 0;

  // The recording cannot go on. Nothing follows but Release.
  virtual void OnRecordingFatalError(RecordingId recording_id, RecordingErrorCode code) = 0;
};

// An observer that ignores everything: derive from it to override only what is wanted.
class CloudRecorderObserver : public ICloudRecorderObserver {
 public:
  virtual void OnRecordingConnecting(RecordingId) {}
  virtual void OnRecordingStarted(RecordingId) {}
  virtual void OnRecordingStopped(RecordingId) {}
  virtual void OnRecordingUploaded(RecordingId, const char *) {}
  virtual void OnRecordingBackedUp(RecordingId, const char *) {}
  virtual void OnRecordingUploadingProgress(RecordingId, unsigned int, const char *) {}
  virtual void OnRecorderFailure(RecordingId, RecordingErrorCode, const char *) {}
  virtual void OnUploaderFailure(RecordingId, RecordingErrorCode, const char *) {}
  virtual void OnRecordingFatalError(RecordingId, RecordingErrorCode) {}
};

class ICloudRecorder {
 public:
  // The recording's identifier, from creation on; valid until Release.
  virtual RecordingId GetRecordingId() = 0;

  // Joins the channel and records it. Returns 0, or a RecordingErrorCode. A recorder starts once: after a stop, record
  // again with a new instance.
  //   appId         the application that the channel belongs to
  //   channel_name  the channel, as the users in it name it
  //   token         needed where the channel uses tokens, else null
  //   uid           the recorder's own, 1 to 2^32-1, that nobody else in the channel uses
  virtual int StartCloudRecording(const char *appId, const char *channel_name, const char *token, const uid_t uid,
                                  const RecordingConfig &recording_config,
                                  const CloudStorageConfig &storage_config) = 0;

  // Leaves the channel; OnRecordingStopped follows, then the end of the upload. Returns 0, or a RecordingErrorCode.
  virtual int StopCloudRecording() = 0;

  // Gives the instance back; no observer's function is called after it returns. With cancel, recording and uploading
  // end now; without, what is recorded goes on being uploaded.
  virtual void Release(bool cancel = false) = 0;

 protected:
  virtual ~ICloudRecorder() {}
};

// A new recorder, or null where none can be made. The observer must live until Release has returned.
AGORA_CLOUD_RECORDING_API ICloudRecorder *CreateCloudRecorderInstance(ICloudRecorderObserver *observer);

}  // namespace cloud_recording
}  // namespace agora

#endif
