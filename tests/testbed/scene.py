# SPDX-License-Identifier: Apache-2.0
"""A namespace of a real cluster with a bucket and a live channel in it, and the recordings made of them."""

import json
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

from tests.cluster.binaries import Binaries
from tests.cluster.target import Target
from tests.testbed import pods
from tests.testbed.bucket import Bucket, Credentials, forwarded

Resource = dict[str, Any]

BUCKET = "recordings"
SPARE = "spare"
DEADLINE_SECONDS = 240


@dataclass(frozen=True)
class Participant:
    """Somebody in the channel, told apart by a colour and a tone."""

    uid: int
    name: str
    colour: str
    tone_hz: int

    def stream(self) -> Resource:
        return {"uid": self.uid, "name": self.name, "url": f"rtmp://rtmp:{pods.RTMP_PORT}/live/{self.name}"}


ALICE = Participant(uid=1, name="alice", colour="red", tone_hz=440)
BOB = Participant(uid=2, name="bob", colour="green", tone_hz=660)
CAROL = Participant(uid=3, name="carol", colour="blue", tone_hz=880)


@dataclass
class Scene:
    """One namespace; `open` fills it, deleting the namespace ends it."""

    target: Target
    namespace: str
    credentials: Credentials = field(
        default_factory=lambda: Credentials(secrets.token_hex(10), secrets.token_urlsafe(30))
    )

    def open(self, *participants: Participant) -> None:
        """Returns when the bucket and the channel are there and the participants send."""
        kubectl = self.target.kubectl
        kubectl.apply(pods.namespace(self.namespace))
        self.put_credentials(self.credentials, name="s3-server-key")
        self.put_credentials(self.credentials)
        servers = [*pods.s3_server(buckets=[BUCKET, SPARE], credentials="s3-server-key"), *pods.rtmp_server()]
        kubectl.apply(*servers, namespace=self.namespace)
        for name in ("s3", "rtmp"):
            kubectl("rollout", "status", f"deployment/{name}", self._here, "--timeout=180s")
        for participant in participants:
            self.join(participant)

    def close(self) -> None:
        """Returns when nothing of the namespace is left; recordings in it are discarded."""
        for recording in self.target.kubectl.list("cloudrecordings", namespace=self.namespace):
            name = recording["metadata"]["name"]
            self.target.kubectl("annotate", "crec", name, self._here, "--overwrite", "cloudrecording.dev/discard=true")
        # Before the namespace, which deletes no recording, and so discards nothing, while there are pods that upload.
        self.target.kubectl("delete", "crec", "--all", self._here, "--wait=false")
        self.target.kubectl("delete", "namespace", self.namespace, "--wait", "--ignore-not-found", "--timeout=240s")

    def put_credentials(self, credentials: Credentials, *, name: str = "bucket-credentials") -> None:
        """Writes the Secret that recordings take the bucket's key from."""
        secret = pods.bucket_credentials(
            name=name, access_key=credentials.access_key, secret_key=credentials.secret_key
        )
        self.target.kubectl.apply(secret, namespace=self.namespace)

    def join(self, participant: Participant) -> None:
        """Returns when the participant's pod runs."""
        pod = pods.participant(name=participant.name, colour=participant.colour, tone_hz=participant.tone_hz)
        self.target.kubectl.apply(pod, namespace=self.namespace)
        self.target.kubectl("wait", "--for=condition=Ready", f"pod/{participant.name}", self._here, "--timeout=120s")

    def leave(self, participant: Participant) -> None:
        """Returns when the participant is gone."""
        self.target.kubectl("delete", "pod", participant.name, self._here, "--wait")

    def record(
        self, name: str, *, streams: Sequence[Mapping[str, Any]], storage: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        """Applies a CloudRecording of the streams to this namespace's bucket; `spec` adds or replaces fields."""
        self.target.kubectl.apply(
            self.manifest(name, streams=streams, storage=storage, **spec), namespace=self.namespace
        )

    def manifest(
        self, name: str, *, streams: Sequence[Mapping[str, Any]], storage: Mapping[str, Any] | None = None, **spec: Any
    ) -> Resource:
        """Returns what `record` applies."""
        return {
            "apiVersion": "cloudrecording.dev/v1alpha1",
            "kind": "CloudRecording",
            "metadata": {"name": name},
            "spec": {
                "channel": {"name": name, "uid": 1000, "streams": list(streams)},
                "recording": {"video": {"layout": "BestFit", "width": 640, "height": 360}},
                "storage": {**self.place(), **(storage or {})},
                **spec,
            },
        }

    def place(self, bucket: str = BUCKET) -> Resource:
        """Returns a bucket of this namespace's server, as `storage` and `backup` name one."""
        return {
            "bucket": bucket,
            "endpoint": f"http://s3.{self.namespace}.svc:{pods.S3_PORT}",
            "credentials": {"secretRef": {"name": "bucket-credentials"}},
        }

    def hide_bucket(self, bucket: str) -> None:
        """Takes a bucket away, with all that is in it, until `show_bucket`."""
        self.exec("deployment/s3", "mv", f"/data/buckets/{bucket}", f"/data/hidden-{bucket}")

    def show_bucket(self, bucket: str) -> None:
        """Brings a hidden bucket back as it was."""
        self.exec("deployment/s3", "mv", f"/data/hidden-{bucket}", f"/data/buckets/{bucket}")

    def patch(self, name: str, **spec: Any) -> None:
        """Merges the fields into the recording's spec."""
        patch = json.dumps({"spec": spec})
        self.target.kubectl("patch", "crec", name, self._here, "--type=merge", f"--patch={patch}")

    def stop(self, name: str) -> None:
        """Asks the recording to stop."""
        self.patch(name, desiredState="Stopped")

    def get(self, name: str) -> Resource:
        """Returns the recording as it is now."""
        return self.target.kubectl.get("cloudrecording", name, namespace=self.namespace)

    def pods_of(self, name: str) -> list[Resource]:
        """Returns the recorder pods of a recording, those that ended included, oldest part first."""
        uid = self.get(name)["metadata"]["uid"]
        selector = f"cloudrecording.dev/recording-uid={uid}"
        found = self.target.kubectl.list("pods", namespace=self.namespace, selector=selector)
        return sorted(found, key=lambda pod: int(pod["metadata"]["labels"]["cloudrecording.dev/part"]))

    def exec(self, pod: str, *command: str) -> str:
        """Runs a command in a pod's container and returns what it prints."""
        return self.target.kubectl("exec", pod, self._here, "--", *command)

    def until(
        self, name: str, holds: Callable[[Resource], bool], what: str, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Resource:
        """Returns the recording as soon as the predicate holds for it; follows its changes, asks for nothing.

        Raises AssertionError with the last seen status after the deadline.
        """
        last: Resource = {}
        for last in self._changes(name, deadline_seconds):
            if holds(last):
                return last
        conditions = "\n".join(f"  {entry}" for entry in last.get("status", {}).get("conditions", []))
        raise AssertionError(f"{name}: {what}: not so within {deadline_seconds} s; the last status:\n{conditions}")

    def until_condition(self, name: str, kind: str, status: str, *, reason: str | None = None) -> Resource:
        """Returns the recording as soon as the condition has the status, and the reason if one is given."""

        def holds(recording: Resource) -> bool:
            found = condition(recording, kind)
            return found.get("status") == status and reason in {None, found.get("reason")}

        return self.until(name, holds, f"{kind}={status} {reason or ''}")

    def finished(self, name: str) -> Resource:
        """Returns the recording once it has ended, either way."""
        return self.until_condition(name, "Finished", "True")

    def bucket(self) -> AbstractContextManager[str]:
        """Yields an address of the bucket's server that this machine can reach."""
        return forwarded(self.target.kubeconfig, namespace=self.namespace, service="s3", port=pods.S3_PORT)

    def opened_bucket(self, address: str, name: str = BUCKET) -> Bucket:
        """Returns the bucket behind an address that `bucket` yielded."""
        return Bucket(endpoint=f"http://{address}", name=name, credentials=self.credentials)

    def events_of(self, name: str) -> list[Resource]:
        """Returns the Events about a recording."""
        events = self.target.kubectl.list("events.events.k8s.io", namespace=self.namespace)
        return [event for event in events if event.get("regarding", {}).get("name") == name]

    @property
    def _here(self) -> str:
        return f"--namespace={self.namespace}"

    def _changes(self, name: str, deadline_seconds: float) -> Any:
        chosen = [] if self.target.kubeconfig is None else [f"--kubeconfig={self.target.kubeconfig}"]
        command = [Binaries()["kubectl"], *chosen, "get", "crec", name, self._here, "--watch", "--output=json"]
        decoder = json.JSONDecoder()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            deadline = Timer(deadline_seconds, watch.terminate)
            deadline.start()
            try:
                assert watch.stdout is not None
                text = ""
                for line in watch.stdout:
                    text += line
                    if line.rstrip() == "}":
                        yield decoder.decode(text)
                        text = ""
            finally:
                deadline.cancel()
                watch.terminate()


def condition(recording: Resource, kind: str) -> Resource:
    """Returns the condition of that type, empty where there is none."""
    conditions: list[Resource] = recording.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == kind), {})


def slices(recording: Resource, where: str = "uploaded") -> int:
    """Returns how many slices the status says were written, uploaded, backed up or are pending."""
    return int(recording.get("status", {}).get("slices", {}).get(where, 0))
