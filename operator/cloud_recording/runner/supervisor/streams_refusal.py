# SPDX-License-Identifier: Apache-2.0
"""Why a running pod cannot have other participants: it may reach only what it was made for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from cloud_recording.api.channel import Stream
from cloud_recording.api.host_patterns import is_listed
from cloud_recording.api.wire import RecordingDocument
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets


def streams_refusal(streams: Sequence[Stream], document: RecordingDocument, secrets: MountedSecrets) -> str:
    """What is wrong with the participants, in a sentence that names the field; nothing where nothing is."""
    for index, stream in enumerate(streams):
        host = urlsplit(stream.url).hostname if stream.url else None
        if host is not None and not is_listed(host, document.stream_hosts):
            return f"`spec.channel.streams[{index}].url` must not lead to '{host}': the administrator does not allow it"
    for need in secrets.needed_with(tuple(streams)):
        problem = need.problem()
        if problem:
            return (
                f"`{need.field}` names the key '{need.key}' of the Secret '{need.name}', which {problem} in the "
                "recording's pod: it has the keys that were named when it was made. Create the Secret and delete the "
                "pod, and the recording goes on in another one; or name a key that the pod has"
            )
    return ""
