# SPDX-License-Identifier: Apache-2.0
"""MinIO on this machine: the same as the other S3 server, and what that has not: users' policies, an STS, a KMS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError
from botocore.httpsession import URLLib3Session
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.s3 import ACCESS_KEY, REPOSITORY, SECRET_KEY, Bucket, S3Server, allowed
from tests.support.waiting import await_true

MINIO: Final = REPOSITORY / "build" / "bin" / "minio"
KMS_KEY: Final = "films"
"""The name of the one key that its KMS has."""
_KMS_SECRET: Final = base64.b64encode(b"thirty-two bytes of a key to try").decode()
_BY_PBKDF2: Final = b"\x02"


@dataclass
class MinioServer(S3Server):
    """Its objects are MinIO's own business; it may be stopped and started again on the same port."""

    settings: dict[str, str] = field(default_factory=dict)
    """Variables that configure it otherwise."""

    def command(self) -> list[str]:
        objects, certificates = self.directory / "objects", self.directory / "certificates"
        for place in (objects, certificates):
            place.mkdir(parents=True, exist_ok=True)
        for name, file in zip(("public.crt", "private.key"), self.tls or (), strict=False):
            shutil.copy(file, certificates / name)
        address = ["--address", f"127.0.0.1:{self.port}", "--certs-dir", str(certificates)]
        return [str(MINIO), "server", "--json", *address, str(objects)]

    def environment(self) -> dict[str, str]:
        return {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{_KMS_SECRET}",
            **self.settings,
        }

    def role(self, client: str) -> str:
        """The role that it has for tokens which are made out to this client."""
        name = base64.urlsafe_b64encode(hashlib.sha1(client.encode()).digest()).rstrip(b"=")  # noqa: S324 - as it names it
        return f"arn:minio:iam:::role/{name.decode()}"

    def await_ready(self) -> None:
        """Returns once it knows its users: it listens before."""
        await_true(self._is_ready, seconds=60)

    def _is_ready(self) -> bool:
        with contextlib.suppress(ClientError, EndpointConnectionError, HTTPClientError):
            Bucket(self, "any").client.list_buckets()
            return True
        return False

    def make_user(self, bucket: Bucket, access: str, secret: str, *actions: str) -> None:
        user = json.dumps({"secretKey": secret, "status": "enabled"}).encode()
        self.administer("add-user", _sealed(SECRET_KEY, user), accessKey=access)
        policy = {"Version": "2012-10-17", "Statement": [allowed(bucket.name, *actions)]}
        self.administer("add-canned-policy", json.dumps(policy).encode(), name=access)
        self.administer("set-user-or-group-policy", b"", policyName=access, userOrGroup=access, isGroup="false")

    def limit(self, bucket: Bucket, size: int) -> None:
        """Has the bucket take so many bytes, and no more."""
        quota = {"quota": size, "quotatype": "hard"}
        self.administer("set-bucket-quota", json.dumps(quota).encode(), bucket=bucket.name)

    def administer(self, action: str, body: bytes, **query: str) -> None:
        """Asks MinIO's administration."""
        url = f"{self.endpoint}/minio/admin/v3/{action}?{urlencode(query)}"
        request = AWSRequest("PUT", url, data=body)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
        verified: Any = str(self.tls[0]) if self.tls else True
        answer = URLLib3Session(verify=verified).send(request.prepare())
        assert answer.status_code == 200, answer.text

    def session(self, access: str, secret: str, **asked: Any) -> dict[str, str]:
        """The keys for a while that a user gets of the STS, as files of the recorder's are called."""
        sts = boto3.client(
            "sts",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )
        given = sts.assume_role(RoleArn="arn:minio:iam:::role/any", RoleSessionName="films", **asked)["Credentials"]
        return {
            "accessKey": given["AccessKeyId"],
            "secretKey": given["SecretAccessKey"],
            "sessionToken": given["SessionToken"],
        }


def _sealed(password: str, content: bytes) -> bytes:
    """As MinIO's administration takes secrets: salt, cipher, nonce, and the content as one sealed fragment."""
    salt, nonce = os.urandom(32), os.urandom(8)
    cipher = AESGCM(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 8192, 32))
    first, second = (nonce + index.to_bytes(4, "little") for index in range(2))
    last = b"\x80" + cipher.encrypt(first, b"", b"")
    return salt + _BY_PBKDF2 + nonce + cipher.encrypt(second, content, last)
