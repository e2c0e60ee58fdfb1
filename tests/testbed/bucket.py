# SPDX-License-Identifier: Apache-2.0
"""Reads the objects of an S3 server that runs as a Service of a cluster, through `kubectl port-forward`.

Works for the test cluster and for a cluster of the user's own alike, whatever their networks are.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.cluster.binaries import Binaries

FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Credentials:
    """A bucket's key."""

    access_key: str
    secret_key: str


class Bucket:
    """One bucket, read with the S3 protocol and the key that the recordings use."""

    def __init__(self, *, endpoint: str, name: str, credentials: Credentials) -> None:
        self.name = name
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )

    def objects(self, *, of: str = "") -> list[str]:
        """Returns the keys, sorted; with `of`, those that contain it, as all of a recording contain its ID."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()) if of in entry["Key"])

    def read(self, key: str) -> bytes:
        """Returns an object's content; a key that is not there raises the client's NoSuchKey."""
        content: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def content_type(self, key: str) -> str:
        """Returns the content type that a player would be told."""
        return str(self._client.head_object(Bucket=self.name, Key=key)["ContentType"])

    def download(self, directory: Path, *, of: str) -> dict[str, Path]:
        """Copies the objects whose keys contain `of` into the directory; returns the files by name, without prefix."""
        directory.mkdir(parents=True, exist_ok=True)
        files = {}
        for key in self.objects(of=of):
            file = directory / key.rpartition("/")[2]
            file.write_bytes(self.read(key))
            files[file.name] = file
        return files

    def create(self) -> None:
        """Makes the bucket itself."""
        self._client.create_bucket(Bucket=self.name)


@contextlib.contextmanager
def forwarded(kubeconfig: Path | None, *, namespace: str, service: str, port: int) -> Iterator[str]:
    """Yields an address `127.0.0.1:PORT` that leads to the Service for as long as the context lasts."""
    chosen = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    command = [
        Binaries()["kubectl"],
        *chosen,
        "--namespace",
        namespace,
        "port-forward",
        f"service/{service}",
        f":{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = FORWARDING.search(first)
            if found is None:
                assert process.stderr is not None
                raise RuntimeError(f"{' '.join(command)}: {process.stderr.read().strip() or first}")
            yield f"127.0.0.1:{found[1]}"
        finally:
            process.terminate()
