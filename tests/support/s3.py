# SPDX-License-Identifier: Apache-2.0
"""A real S3 server on this machine, that checks signatures, and what is in its buckets."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from tests.support.buckets import AnyBucket
from tests.support.ports import await_listener, free_port

REPOSITORY = Path(__file__).parents[2]
VERSITYGW = REPOSITORY / "build" / "bin" / "versitygw"

ACCESS_KEY = "recorder-test"
SECRET_KEY = "recorder-test-secret"


def allowed(bucket: str, *actions: str) -> dict[str, Any]:
    """The statement of a policy that allows these actions on the bucket's objects."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": [f"arn:aws:s3:::{bucket}/*"]}


@dataclass
class S3Server:
    """A server whose objects lie under `directory`; it may be stopped and started again on the same port."""

    directory: Path
    tls: tuple[Path, Path] | None = None
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """What starts it, once its directory is as it needs it."""
        objects = self.directory / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        tls = ["--cert", str(self.tls[0]), "--key", str(self.tls[1])] if self.tls else []
        return [
            *(str(VERSITYGW), "--port", f"127.0.0.1:{self.port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY),
            *("--iam-dir", str(self.directory), "--quiet", *tls),
            *("posix", str(objects)),
        ]

    def environment(self) -> dict[str, str]:
        """The variables that it gets beside this process' own."""
        return {}

    def start(self) -> None:
        """Returns once the server answers."""
        environment = {**os.environ, **self.environment()}
        command = self.command()
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.await_ready()

    def await_ready(self) -> None:
        """Returns once it answers."""
        await_listener(self.port)

    def stop(self) -> None:
        """Returns once nobody listens any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def bucket(self, name: str) -> "Bucket":
        """Returns the bucket, made if it does not exist."""
        bucket = Bucket(self, name)
        bucket.create()
        return bucket

    def locked_bucket(self, name: str) -> "Bucket":
        """Returns a new bucket whose objects nobody replaces or deletes for a day, by Object Lock."""
        bucket = Bucket(self, name)
        bucket.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        bucket.client.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
        return bucket

    def make_user(self, bucket: "Bucket", access: str, secret: str, *actions: str) -> None:
        """Makes a user who may do so much in the bucket, and nothing else."""
        administrator = ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--endpoint-url", self.endpoint]
        user = ["--access", access, "--secret", secret, "--role", "user"]
        subprocess.run([str(VERSITYGW), "admin", *administrator, "create-user", *user], check=True)
        statement = {**allowed(bucket.name, *actions), "Principal": {"AWS": [access]}}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=policy)


@dataclass(frozen=True)
class Bucket(AnyBucket):
    server: S3Server
    name: str

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            verify=str(self.server.tls[0]) if self.server.tls else None,
            # This server states the digest of a large object's parts as if it were its content's.
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
                response_checksum_validation="when_required",
            ),
        )

    def create(self) -> None:
        client = self.client
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=self.name)

    def key_that_only_puts(self) -> tuple[str, str]:
        """Returns access key and secret key of a user who may put objects into the bucket, and nothing else."""
        access, secret = "putter", "putter-secret"
        self.server.make_user(self, access, secret, "s3:PutObject")
        return access, secret

    def objects(self) -> list[str]:
        """Returns the keys of the bucket's objects, in order."""
        return [entry["Key"] for entry in self.listing()]

    def listing(self) -> list[dict[str, Any]]:
        """Returns what the server says of each object, in the order of their keys."""
        found: list[dict[str, Any]] = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return found

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def content_type(self, key: str) -> str:
        kind: str = self.client.head_object(Bucket=self.name, Key=key)["ContentType"]
        return kind


@contextlib.contextmanager
def s3_server(directory: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """A running server for the time of the block; `tls` is its certificate and key, both PEM files."""
    with running(_kind()(directory, tls)) as server:
        yield server


_Server = TypeVar("_Server", bound=S3Server)


@contextlib.contextmanager
def running(server: _Server) -> Iterator[_Server]:
    """The server for the time of the block."""
    server.directory.mkdir(parents=True, exist_ok=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _kind() -> type[S3Server]:
    """What the environment says that the tests run against, so that what holds of one is tried of the other."""
    if os.environ.get("S3_SERVER") != "minio":
        return S3Server
    from tests.support.minio import MinioServer  # noqa: PLC0415 - which is one of these

    return MinioServer
