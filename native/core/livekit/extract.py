# SPDX-License-Identifier: Apache-2.0
"""Writes what of the client library's protocol we speak, as a FileDescriptorSet: extract.py DIRECTORY-OF-_proto FILE

The library's own descriptions are in the PyPI package `livekit` (Apache License 2.0), in the modules that protoc made:
their bytes are taken as they are, and what no message of `SPOKEN` leads to is left out. An unknown member of a oneof is
skipped by whoever reads it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

PACKAGE = ".livekit.proto."

# Each is answered by the message of its name.
REQUESTS = {
    "connect",
    "disconnect",
    "e2ee",
    "get_stats",
    "new_audio_stream",
    "new_video_stream",
    "ready_for_room_event",
    "set_remote_track_publication_quality",
    "set_subscribed",
    "update_remote_track_publication_dimension",
}

# The members of the oneofs of the three outermost messages that are sent and understood.
SPOKEN = {
    "FfiRequest": REQUESTS,
    "FfiResponse": REQUESTS,
    "FfiEvent": {
        "audio_stream_event",
        "connect",
        "disconnect",
        "get_stats",
        "panic",
        "room_event",
        "video_stream_event",
    },
    "RoomEvent": {
        "disconnected",
        "e2ee_state_changed",
        "eos",
        "participant_connected",
        "participant_disconnected",
        "participant_name_changed",
        "reconnected",
        "reconnecting",
        "track_muted",
        "track_published",
        "track_subscribed",
        "track_subscription_failed",
        "track_unmuted",
        "track_unpublished",
        "track_unsubscribed",
    },
    "E2eeRequest": {"set_shared_key"},
    "E2eeResponse": {"set_shared_key"},
    "RtcStats": {"inbound_rtp"},
}


def descriptions(directory: Path) -> Iterator[FileDescriptorProto]:
    """The description of each module of the directory."""
    for module in sorted(directory.glob("*_pb2.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "AddSerializedFile"
            ):
                yield FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))


def keep_spoken(message: DescriptorProto) -> None:
    """Leaves out the members of a oneof that are not spoken."""
    if message.name in SPOKEN:
        chosen = [
            field for field in message.field if not field.HasField("oneof_index") or field.name in SPOKEN[message.name]
        ]
        missing = SPOKEN[message.name] - {field.name for field in chosen}
        if missing:
            raise ValueError(f"{message.name} has no {missing}")
        del message.field[:]
        message.field.extend(chosen)
        leading = [
            nested for nested in message.nested_type if any(f.type_name.endswith(f".{nested.name}") for f in chosen)
        ]
        del message.nested_type[:]
        message.nested_type.extend(leading)


def named_in(message: DescriptorProto) -> Iterator[str]:
    """The types that the message's fields have."""
    for field in message.field:
        if field.type_name:
            yield field.type_name.removeprefix(PACKAGE).split(".")[0]
    for nested in message.nested_type:
        yield from named_in(nested)


def extract(directory: Path) -> bytes:
    """The descriptions of what is spoken, in one file and without comments, the same for the same package."""
    files = list(descriptions(directory))
    messages = {message.name: message for file in files for message in file.message_type}
    enums = {enum.name: enum for file in files for enum in file.enum_type}
    for message in messages.values():
        keep_spoken(message)
        for nested in message.nested_type:
            keep_spoken(nested)
    reached, waiting = set[str](), ["FfiRequest", "FfiResponse", "FfiEvent"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(named_in(messages[name]) if name in messages else ())
    one = FileDescriptorProto(name="livekit_ffi.proto", package="livekit.proto", syntax="proto2")
    one.message_type.extend(messages[name] for name in sorted(reached & messages.keys()))
    one.enum_type.extend(enums[name] for name in sorted(reached & enums.keys()))
    return FileDescriptorSet(file=[one]).SerializeToString(deterministic=True)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(extract(Path(sys.argv[1])))
