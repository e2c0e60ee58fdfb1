/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A C view of any engine with the published C++ interface (IAgoraCloudRecording.h), for callers that cannot speak C++.
 *
 * Rules that hold for every function:
 *  - no exception leaves it, and no engine thread ever runs the caller's code: callbacks are copied into a bounded
 * queue and an eventfd is signalled, so an engine is never made to wait for a slow reader;
 *  - a failure is a result other than SHIM_OK and, where `error` is not NULL, a text for people;
 *  - strings come in as NUL-terminated UTF-8 and are not kept after the call; strings go out into the caller's buffer.
 *
 * Threads: create, start, stop, release and free of one recorder belong to one thread at a time. next, event_fd and the
 * functions of the engine may be called from any thread at any time while their handle lives.
 */
#ifndef CLOUD_RECORDING_SHIM_H
#define CLOUD_RECORDING_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shim_engine shim_engine;
typedef struct shim_recorder shim_recorder;

enum shim_result {
  SHIM_OK = 0,
  /* The engine said no; shim_error.engine_code is its answer. */
  SHIM_REFUSED = 1,
  /* This engine has only the published interface. */
  SHIM_UNSUPPORTED = 2,
  /* An argument is outside of what the interface can express. */
  SHIM_INVALID = 3,
  /* The library cannot be loaded, or is not an engine. */
  SHIM_LOAD_FAILED = 4,
  /* The recorder was released already. */
  SHIM_RELEASED = 5,
  /* The operating system or the engine failed unexpectedly. */
  SHIM_INTERNAL = 6
};

enum shim_event_type {
  SHIM_CONNECTING = 1,
  SHIM_STARTED = 2,
  SHIM_STOPPED = 3,
  SHIM_UPLOADED = 4,
  SHIM_BACKED_UP = 5,
  SHIM_UPLOADING_PROGRESS = 6,
  SHIM_RECORDER_FAILURE = 7,
  SHIM_UPLOADER_FAILURE = 8,
  SHIM_FATAL_ERROR = 9,
  /* One more than the last, by which tables are sized. */
  SHIM_EVENT_TYPES
};

typedef struct shim_error {
  int32_t engine_code;
  char text[512];
} shim_error;

/* One callback. `text` is the file name or the message, cut at a character's border when longer than the field. */
typedef struct shim_event {
  int32_t type;
  int32_t code;
  uint32_t progress;
  /* How many later callbacks of the same type and code were folded into this one because the queue was full. */
  uint32_t repeats;
  /* When the engine called: milliseconds since the Unix epoch. */
  int64_t time_ms;
  char text[1024];
} shim_event;

/* The arguments of StartCloudRecording. Enumerations carry the published values; struct_size is sizeof(shim_start). */
typedef struct shim_start {
  size_t struct_size;
  const char *app_id;
  const char *channel_name;
  /* NULL: the channel uses no tokens. */
  const char *token;
  uint32_t uid;
  int32_t stream_types;
  int32_t decryption_mode;
  /* NULL: none. */
  const char *secret;
  int32_t channel_type;
  int32_t audio_profile;
  int32_t video_stream_type;
  uint32_t max_idle_seconds;
  uint32_t width;
  uint32_t height;
  uint32_t frames_per_second;
  uint32_t bitrate_kbps;
  uint32_t max_resolution_uid;
  int32_t layout;
  int32_t vendor;
  uint32_t region;
  const char *bucket;
  const char *access_key;
  const char *secret_key;
} shim_start;

/* Loads the engine at `path`. The library itself is never unloaded: its threads may outlive every handle. */
int shim_engine_open(const char *path, shim_engine **engine, shim_error *error);
void shim_engine_free(shim_engine *engine);

/* The version of the engine's extended C API (cloud_recording.h), 0 when it has only the published interface. */
uint32_t shim_engine_api_version(const shim_engine *engine);

/* The extended API. Each answers SHIM_UNSUPPORTED with an engine that lacks it. */
/* Copies the status of a recording as JSON and sets `needed` to its length without NUL, also when `size` is too small.
 */
int shim_engine_status(const shim_engine *engine, const char *recording_id, char *buffer, size_t size, size_t *needed,
                       shim_error *error);
int shim_engine_set_layout(const shim_engine *engine, const char *recording_id, int32_t layout,
                           uint32_t max_resolution_uid, shim_error *error);
int shim_engine_set_layout_by_identity(const shim_engine *engine, const char *recording_id, int32_t layout,
                                       const char *max_resolution_identity, shim_error *error);
int shim_engine_set_paused(const shim_engine *engine, const char *recording_id, int32_t paused, shim_error *error);
int shim_engine_set_storage(const shim_engine *engine, const char *recording_id, const char *place, shim_error *error);
int shim_engine_set_streams(const shim_engine *engine, const char *recording_id, const char *streams,
                            shim_error *error);
/* SHIM_OK when nothing of a released recorder is being uploaded any more, SHIM_REFUSED when the time ran out before. */
int shim_engine_wait_drained(const shim_engine *engine, uint32_t timeout_ms, shim_error *error);
/* Uploads what a dead process left behind; blocks until that is done or hopeless. */
int shim_engine_rescue(const shim_engine *engine, const char *configuration, shim_error *error);
/* Puts one playlist over several parts into their store; the engine's answer is JSON, also where it refuses. */
int shim_engine_merge(const shim_engine *engine, const char *configuration, char *answer, size_t size,
                      shim_error *error);

/* An instance of the engine. `configuration` is for engines with the extended API; NULL leaves the engine's own
 * defaults. */
int shim_recorder_create(const shim_engine *engine, const char *configuration, shim_recorder **recorder,
                         shim_error *error);
/* Copies the recording id and returns its length without NUL, also when `size` is too small. */
size_t shim_recorder_id(const shim_recorder *recorder, char *buffer, size_t size);
int shim_recorder_start(shim_recorder *recorder, const shim_start *start, shim_error *error);
int shim_recorder_stop(shim_recorder *recorder, shim_error *error);
/* After this returned SHIM_OK nothing is added to the queue; what was queued before can still be read. */
int shim_recorder_release(shim_recorder *recorder, int32_t cancel, shim_error *error);
/* Releases (without cancelling) what was not released. */
void shim_recorder_free(shim_recorder *recorder);

/* Readable while callbacks wait; owned by the recorder. */
int shim_recorder_event_fd(const shim_recorder *recorder);
/* 1 and the oldest waiting callback, or 0 and the eventfd reset. */
int shim_recorder_next(shim_recorder *recorder, shim_event *event);
/* Callbacks an engine made after Release returned, against the published rules; they were discarded. */
uint64_t shim_recorder_late_events(const shim_recorder *recorder);

#ifdef __cplusplus
}
#endif

#endif
