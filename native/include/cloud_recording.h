/* SPDX-License-Identifier: Apache-2.0
 *
 * What this engine offers beyond the recorder interface: configuration, live figures, and changes while recording.
 *
 * Every function may be called from any thread and lets no exception out. Text is UTF-8. Where a function returns an
 * error code, it is 0 or a RecordingErrorCode of IAgoraCloudRecording.h. Programs that also work with other engines
 * find these functions with dlsym.
 */
#ifndef CLOUD_RECORDING_H
#define CLOUD_RECORDING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface that the library implements: 1. It grows only when something changes meaning. */
uint32_t cr_api_version(void);

/* The next recorder created on this thread uses this configuration document (JSON) instead of the one that the
 * environment variable CLOUD_RECORDING_CHANNEL_FILE names. Returns 0 or an error code; then err holds the reason, cut
 * to n bytes with its terminating NUL. */
int cr_configure_next(const char *json, char *err, size_t n);

/* Copies the recording's snapshot (JSON) into buf, cut to n bytes with its terminating NUL. Returns the length of the
 * whole snapshot without the NUL, or -1 for an unknown recording. A released recording is known while what it left is
 * still being uploaded; one that cr_rescue delivers, or has delivered, in this process is known by what its files say.
 */
int64_t cr_status(const char *recording_id, char *buf, size_t n);

/* Changes the layout (a MixedVideoLayoutType) while recording, without a gap. Returns 0 or an error code: what is
 * passed through has no layout (kRecordingErrorInvalidOperation). */
int cr_set_layout(const char *recording_id, int layout, uint32_t max_resolution_uid);

/* The same in a room, for whom it knows by this identity (UTF-8), also before they come. A channel of streams has
 * nobody with an identity (kRecordingErrorInvalidOperation). */
int cr_set_layout_by_identity(const char *recording_id, int layout, const char *max_resolution_identity);

/* Changes who is in the channel while recording, without a gap: JSON with "streams", the whole list as it is in the
 * configuration's "channels". Whose stream is not in it any more leaves, who is new joins; a stream that is reached
 * otherwise than before leaves and joins again, and all others go on. Returns 0 or an error code; then err holds the
 * reason, and nothing has changed. What is passed through keeps its stream (kRecordingErrorInvalidOperation). */
int cr_set_streams(const char *recording_id, const char *json, char *err, size_t n);

/* Pauses the recording, or resumes it. The pause is a gap that the manifest states. Returns 0 or an error code. */
int cr_set_paused(const char *recording_id, int paused);

/* Has a recording go to another place, for as long as no slice of it is stored: JSON with "bucket", and
 * "endpoint", "region", "vendor" and "pathStyle" as in the configuration's "backup". What it has not uploaded goes
 * there, all else about its storage stays. Returns 0 or an error code; then err holds the reason. */
int cr_set_storage(const char *recording_id, const char *json, char *err, size_t n);

/* Waits until nothing that released recorders left, or earlier processes and a start took up, is being uploaded any
 * more: 1, or 0 after timeout_ms. */
int cr_wait_drained(uint32_t timeout_ms);

/* Uploads what a process that died left in the work directory: the configuration document names the directory, the
 * recording (all in the directory, if left out) and the files with the bucket's keys, the backup store where files
 * are there, and in "place", as for cr_set_storage, where a recording goes that the bucket has no file of. Goes on
 * after what cannot be uploaded now. Returns when all the rest is in the bucket: 0, or an error code with the reasons
 * in err, a line for each recording. */
int cr_rescue(const char *json, char *err, size_t n);

/* Puts one playlist and one manifest over several parts of a recording into its store, beside what the parts have
 * there: the configuration document names the recording, its channel, in "parts" the "filePrefix" of each in their
 * order (and its "playlist", where that has another name than usual), and the store: "storage" with the files of the
 * keys and "place" as for cr_set_storage, or the directory. Reads each part's playlist, and its manifest where there is
 * one; the same parts make the same files. With "MP4" in "outputs" one MP4 of all their slices, too, made in "workDir",
 * which has to hold it. Returns 0 or an error code; answer holds JSON, cut to n bytes with its terminating NUL:
 * "playlist", "manifest", "slices" and "recordedMilliseconds", and "mp4" or, where none could be made of what was asked
 * for, "mp4Missing", which is why; or else "cause" (one word, a store's as in the snapshot's "storage") and "message".
 */
int cr_merge(const char *json, char *answer, size_t n);

#ifdef __cplusplus
}
#endif

#endif
