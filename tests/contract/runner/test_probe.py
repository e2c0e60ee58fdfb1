# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording probe` in the files of its pod, with the real library and a real store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.api.recording_storage import RecordingStorage, StorageProbe
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.domain.names import STORAGE_PATH
from cloud_recording.domain.probe_pod import build_probe_pod, probe_object
from tests.cluster.layout import REPOSITORY
from tests.support.azure import azure_server
from tests.support.certificates import self_signed
from tests.support.forward_proxy import forward_proxy
from tests.support.google import DELETE, PUT, google_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server, s3_server

Json = dict[str, Any]

LIBRARY = REPOSITORY / "build" / "lib" / "libagora-cloud-recording-client.so"
SECONDS = 180
DOCUMENTS = {"recording.json": "cloudrecording.dev/recording", "desired.json": "cloudrecording.dev/desired"}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return s3.bucket("films")


@dataclass
class Pod:
    """What the kubelet makes of the pod that the operator asks for."""

    storage: RecordingStorage
    directory: Path

    def lay_out(self, *, directory: Path | None = None) -> None:
        """Lays the pod's files out; `directory` stands for where its claim is mounted."""
        settings = OperatorSettings.model_validate(
            {
                "runner": {"image": "cloud-recording:test"},
                "callbacks": {"url": "https://operator.test:8443", "caSecretName": "callback-ca"},
                "leaderElection": {"leaseName": "cloud-recording"},
                "engines": {"default": str(LIBRARY)},
            }
        )
        annotations = build_probe_pod(self.storage, settings)["metadata"]["annotations"]
        for name in ("pod", "work", "secrets"):
            (self.directory / name).mkdir(parents=True)
        for file, annotation in DOCUMENTS.items():
            text = annotations[annotation]
            if directory is not None:
                text = text.replace(STORAGE_PATH, str(directory))
            (self.directory / "pod" / file).write_text(text)

    def mount(self, access: str, secret: str) -> None:
        keys = self.directory / "secrets" / "keys"
        keys.mkdir(exist_ok=True)
        (keys / "accessKey").write_text(access)
        (keys / "secretKey").write_text(secret)

    def mount_authority(self, certificate: Path) -> None:
        authority = self.directory / "secrets" / "ca"
        authority.mkdir()
        (authority / "pem").write_bytes(certificate.read_bytes())

    def run(self) -> StorageProbe:
        """The termination message of one run."""
        message = self.directory / "message"
        command = [
            *(sys.executable, "-m", "cloud_recording", "probe"),
            *("--pod-directory", str(self.directory / "pod")),
            *("--secrets-directory", str(self.directory / "secrets")),
            *("--work-directory", str(self.directory / "work")),
            *("--termination-message", str(message)),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == 0, ended.stderr
        print(ended.stderr)
        return StorageProbe.model_validate_json(message.read_text())


@pytest.fixture
def pod(bucket: Bucket, tmp_path: Path) -> Pod:
    storage = a_storage(endpoint=bucket.server.endpoint, bucket=bucket.name)
    made = Pod(storage=storage, directory=tmp_path / "probe")
    made.lay_out()
    return made


def a_storage(**spec: Any) -> RecordingStorage:
    metadata = {"name": "films", "namespace": "meetings", "uid": "11111111-2222-3333-4444-555555555555"}
    return RecordingStorage.model_validate(
        {
            "metadata": {**metadata, "creationTimestamp": "2026-05-04T12:00:00Z"},
            "spec": {"prefix": "2026", "credentials": {"secretRef": {"name": "keys"}}, **spec},
        }
    )


def rights(answer: StorageProbe) -> tuple[str, ...]:
    return answer.rights.put, answer.rights.get, answer.rights.delete


def test_a_store_that_takes_files_is_ready_and_keeps_nothing(pod: Pod, bucket: Bucket) -> None:
    """Promise: what was put is verified, and removed again."""
    pod.mount(ACCESS_KEY, SECRET_KEY)
    answer = pod.run()
    assert (answer.ready, *rights(answer)) == (True, "Allowed", "Allowed", "Allowed"), answer
    assert bucket.objects() == []


def test_a_key_that_may_only_put_is_enough_and_the_one_object_stays(pod: Pod, bucket: Bucket) -> None:
    """Promise: however often it is tried, one object of a fixed name is all that is left."""
    pod.mount(*bucket.key_that_only_puts())
    for _ in range(2):
        answer = pod.run()
        assert (answer.ready, *rights(answer)) == (True, "Allowed", "Refused", "Refused"), answer
    assert bucket.objects() == [f"2026/{probe_object(pod.storage)}"]


@pytest.mark.parametrize("only_puts", [False, True], ids=["any key", "a key that only puts"])
def test_a_bucket_in_which_nothing_is_replaced_is_tried_by_what_leaves_nothing(
    only_puts: bool,  # noqa: FBT001 - as pytest gives parameters
    s3: S3Server,
    tmp_path: Path,
) -> None:
    """Promise: however often it is tried, no object is put, though objects are retained."""
    locked = s3.locked_bucket("locked")
    keys = locked.key_that_only_puts() if only_puts else (ACCESS_KEY, SECRET_KEY)
    storage = a_storage(endpoint=s3.endpoint, bucket=locked.name, livePlaylist=False)
    pod = Pod(storage=storage, directory=tmp_path / "probe")
    pod.lay_out()
    pod.mount(*keys)
    for _ in range(2):
        answer = pod.run()
        assert (answer.ready, *rights(answer)) == (True, "Allowed", "Unknown", "Unknown"), answer
        assert locked.client.list_object_versions(Bucket=locked.name).get("Versions", []) == []


def test_a_wrong_key_is_named_by_the_stores_own_word(pod: Pod) -> None:
    pod.mount(ACCESS_KEY, "not-the-secret")
    answer = pod.run()
    assert (answer.ready, answer.cause) == (False, "SignatureDoesNotMatch"), answer


def test_a_missing_secret_is_named_with_the_field_of_the_storage(pod: Pod) -> None:
    answer = pod.run()
    assert (answer.ready, answer.cause) == (False, "WaitingForSecret")
    assert (
        "Secret 'keys' with the key 'accessKey', named by `spec.credentials.secretRef`, is not there" in answer.message
    )


def test_a_directory_that_takes_files_is_ready_and_one_that_does_not_says_why(tmp_path: Path) -> None:
    """Promise: a claim is tried as a bucket is, below its prefix, and kept as it was."""
    films = tmp_path / "films"
    storage = a_storage(credentials=None, directory={"claimName": "films"})
    pod = Pod(storage=storage, directory=tmp_path / "probe")
    pod.lay_out(directory=films)
    missing = pod.run()
    assert (missing.ready, missing.cause) == (False, "NoSuchDirectory"), missing
    films.mkdir()
    answer = pod.run()
    assert (answer.ready, *rights(answer)) == (True, "Allowed", "Allowed", "Allowed"), answer
    assert [path for path in films.rglob("*") if path.is_file()] == []


def test_a_store_behind_an_authority_of_its_own_is_ready_with_that_alone(tmp_path: Path) -> None:
    """Promise: the certificate is checked by the Secret that the storage names, as recordings check it."""
    certificate, key = self_signed(tmp_path)
    with s3_server(tmp_path / "s3", tls=(certificate, key)) as server:
        bucket = server.bucket("films")
        trusting: Json = {"caSecretRef": {"name": "ca", "key": "pem"}}
        for named, cause in (({}, "StorageCertificateUntrusted"), (trusting, "")):
            pod = Pod(
                storage=a_storage(endpoint=server.endpoint, bucket=bucket.name, **named),
                directory=tmp_path / f"probe-{len(named)}",
            )
            pod.lay_out()
            pod.mount(ACCESS_KEY, SECRET_KEY)
            pod.mount_authority(certificate)
            answer = pod.run()
            assert (answer.ready, answer.cause) == (not cause, cause), answer
        assert rights(answer) == ("Allowed", "Allowed", "Allowed")


def test_a_store_behind_a_proxy_is_tried_through_it_its_rights_too(bucket: Bucket, tmp_path: Path) -> None:
    """Promise: nothing is asked directly, be the proxy's connection one of TLS or not."""
    certificate, key = self_signed(tmp_path)
    for tls in (None, (certificate, key)):
        with forward_proxy(store=bucket.server.port, tls=tls) as proxy:
            behind: Json = {"proxyURL": proxy.url, "caSecretRef": {"name": "ca", "key": "pem"}}
            storage = a_storage(endpoint="http://store.invalid", bucket=bucket.name, **behind)
            pod = Pod(storage=storage, directory=tmp_path / proxy.url.partition(":")[0])
            pod.lay_out()
            pod.mount(ACCESS_KEY, SECRET_KEY)
            pod.mount_authority(certificate)
            answer = pod.run()
            assert (answer.ready, *rights(answer)) == (True, "Allowed", "Allowed", "Allowed"), answer
            assert {passed.split()[0] for passed in proxy.passed} == {"PUT", "GET", "DELETE"}
            proxy.refuse = 403
            answer = pod.run()
            assert (answer.ready, answer.cause) == (False, "StorageProxyFailed"), answer
            assert f"{proxy.url}: 403 Forbidden" in answer.message


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ((), ("Allowed", "Allowed", "Allowed")),
        ((PUT, DELETE), ("Allowed", "Refused", "Allowed")),
        ((PUT,), ("Allowed", "Refused", "Refused")),
    ],
    ids=["all", "no reading", "putting alone"],
)
def test_what_a_service_account_may_do_is_found_out(
    held: tuple[str, ...], found: tuple[str, ...], tmp_path: Path
) -> None:
    """Promise: a bucket of Google's is tried as any is, by a key that no log and no message has."""
    google = {
        "vendor": "GoogleCloudStorage",
        "credentials": {"serviceAccountKeySecretRef": {"name": "account", "key": "key.json"}},
    }
    with google_server(tmp_path / "google") as server:
        films = server.bucket("films")
        storage = a_storage(endpoint=server.endpoint, bucket=films.name, **google)
        pod = Pod(storage=storage, directory=tmp_path / "probe")
        pod.lay_out()
        (pod.directory / "secrets" / "account").mkdir()
        (pod.directory / "secrets" / "account" / "key.json").write_text(server.account(*held).document())
        answer = pod.run()
        assert (answer.ready, *rights(answer)) == (True, *found), answer
        assert films.objects() == ([] if found[2] == "Allowed" else [f"2026/{probe_object(storage)}"])


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (None, ("Allowed", "Allowed", "Allowed")),
        ("rcwd", ("Allowed", "Allowed", "Allowed")),
        ("cwd", ("Allowed", "Refused", "Allowed")),
        ("cw", ("Allowed", "Refused", "Refused")),
    ],
    ids=["the account's key", "a token of all", "no reading", "putting alone"],
)
def test_what_a_key_or_token_of_azures_may_do_is_found_out(
    held: str | None, found: tuple[str, ...], tmp_path: Path
) -> None:
    """Promise: a container of Azure's is tried as any bucket is, by what no log and no message has."""
    kind = "accountKey" if held is None else "sasToken"
    with azure_server() as server:
        films = server.bucket("films")
        secret = server.key if held is None else server.sas("films", held)
        storage = a_storage(
            vendor="AzureBlobStorage",
            account=server.account,
            endpoint=server.endpoint,
            bucket=films.name,
            credentials={f"{kind}SecretRef": {"name": "account", "key": kind}},
        )
        pod = Pod(storage=storage, directory=tmp_path / "probe")
        pod.lay_out()
        (pod.directory / "secrets" / "account").mkdir()
        (pod.directory / "secrets" / "account" / kind).write_text(secret + "\n")
        answer = pod.run()
        assert (answer.ready, *rights(answer)) == (True, *found), answer
        assert films.objects() == ([] if found[2] == "Allowed" else [f"2026/{probe_object(storage)}"])


def test_an_account_or_container_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Promise: the words are Azure's, and none sends to a region that such a store has not."""
    with azure_server() as server:
        for account, cause in ((server.account, "NoSuchBucket"), ("nobodysfilms", "NoSuchBucket")):
            storage = a_storage(
                vendor="AzureBlobStorage",
                account=account,
                endpoint=server.endpoint,
                bucket="films",
                credentials={"accountKeySecretRef": {"name": "account", "key": "key"}},
            )
            pod = Pod(storage=storage, directory=tmp_path / account)
            pod.lay_out()
            (pod.directory / "secrets" / "account").mkdir()
            (pod.directory / "secrets" / "account" / "key").write_text(server.key)
            answer = pod.run()
            assert (answer.ready, answer.cause) == (False, cause), answer
