# SPDX-License-Identifier: Apache-2.0
"""What else the key may do with the object that the engine has put: get it, and delete it.

The engine neither gets from a store nor says whether it could delete. Whatever is no clear answer is left unknown: only
the engine's own word decides whether recordings can be stored.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from cloud_recording.api.recording_storage import Right, StorageRights
from cloud_recording.api.regions import region_name
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import Addressing, Storage, StorageVendor
from cloud_recording.api.wire import RecordingDocument
from cloud_recording.runner.probe.service_account_token import service_account_token
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets

logger = logging.getLogger(__name__)

_SECONDS: Final = 15.0
_MOST_BYTES: Final = 65536
_USUAL_REGION: Final = "us-east-1"
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_DENIED: Final = tuple(f"<Code>{code}</Code>".encode() for code in ("AccessDenied", "AuthorizationPermissionMismatch"))
"""Other refusals say nothing of rights, such as that of a signature."""
_AZURE_VERSION: Final = "2023-11-03"

_ASKED: Final = (
    *(StorageVendor.S3, StorageVendor.AWS),
    *(StorageVendor.GOOGLE_CLOUD_STORAGE, StorageVendor.AZURE_BLOB_STORAGE),
)
"""Of other vendors the engine alone knows what their regions are called in signatures."""


async def rights_of(document: RecordingDocument, secrets: MountedSecrets, name: str) -> StorageRights:
    """What may be done with the object of this name, which was put; it is gone afterwards, if that is allowed."""
    storage = document.storage
    key = f"{storage.prefix}/{name}" if storage.prefix else name
    if document.directory is not None:
        return await asyncio.to_thread(_of_file, Path(document.directory) / key)
    if storage.credentials is None or storage.effective_vendor not in _ASKED:
        return StorageRights(put=Right.ALLOWED)
    try:
        return await _bucket(storage, secrets).rights(key)
    except (OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
        logger.warning(
            "the object that was put cannot be asked for", extra={"error": str(error) or type(error).__name__}
        )
        return StorageRights(put=Right.ALLOWED)


def _of_file(path: Path) -> StorageRights:
    def right(act: Callable[[], object]) -> Right:
        try:
            act()
        except PermissionError:
            return Right.REFUSED
        except OSError:
            return Right.UNKNOWN
        return Right.ALLOWED

    return StorageRights(put=Right.ALLOWED, get=right(path.read_bytes), delete=right(path.unlink))


class _Reached(TypedDict):
    base: str
    authorities: str
    proxy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket(ABC):
    """A bucket, who is trusted to answer for it, and the proxy on the way there."""

    base: str
    authorities: str
    proxy: str | None

    async def rights(self, key: str) -> StorageRights:
        context = ssl.create_default_context()
        if self.authorities:
            context.load_verify_locations(cadata=self.authorities)
        connector, timeout = aiohttp.TCPConnector(ssl=context), aiohttp.ClientTimeout(total=_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            got = await self._asked(session, "GET", key)
            deleted = await self._asked(session, "DELETE", key)
        return StorageRights(put=Right.ALLOWED, get=got, delete=deleted)

    async def _asked(self, session: aiohttp.ClientSession, method: str, key: str) -> Right:
        url = f"{self.base}/{quote(key)}"
        asked = URL(self._with_token(url), encoded=True)
        headers = self._signed(method, url)
        asking = session.request(method, asked, headers=headers, allow_redirects=False, proxy=self.proxy)
        async with asking as answer:
            body = await answer.content.read(_MOST_BYTES)
        if answer.status == HTTPStatus.FORBIDDEN and any(denied in body for denied in _DENIED):
            return Right.REFUSED
        return Right.ALLOWED if answer.ok and answer.status < HTTPStatus.MULTIPLE_CHOICES else Right.UNKNOWN

    @abstractmethod
    def _signed(self, method: str, url: str) -> dict[str, str]:
        """The headers of a request."""

    def _with_token(self, url: str) -> str:
        """The URL with what opens it, where that is a part of it."""
        return url


@dataclass(frozen=True, slots=True, kw_only=True)
class _GoogleBucket(_Bucket):
    """Requests carry a token that the service account's key signs."""

    key: str

    def _signed(self, method: str, url: str) -> dict[str, str]:  # noqa: ARG002 - the same for all
        return {"authorization": f"Bearer {service_account_token(self.key)}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AzureContainer(_Bucket):
    """Requests are signed by the storage account's key (Shared Key), or bear a token in their URL."""

    account: str
    key: str
    token: str

    def _signed(self, method: str, url: str) -> dict[str, str]:
        headers = {"x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": _AZURE_VERSION}
        if self.token:
            return headers
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        without = "\n" * 12
        text = f"{method}{without}{listed}/{self.account}{urlsplit(url).path}"
        signature = base64.b64encode(_mac(base64.b64decode(self.key), text)).decode()
        return {**headers, "authorization": f"SharedKey {self.account}:{signature}"}

    def _with_token(self, url: str) -> str:
        return f"{url}?{self.token.removeprefix('?')}" if self.token else url


@dataclass(frozen=True, slots=True, kw_only=True)
class _S3Bucket(_Bucket):
    """Requests are signed as S3 has it (Signature Version 4)."""

    region: str
    access_key: str
    secret_key: str
    session_token: str

    def _signed(self, method: str, url: str) -> dict[str, str]:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(url)
        headers = {"host": parts.netloc, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
        headers |= {"x-amz-security-token": self.session_token} if self.session_token else {}
        names = ";".join(headers)
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"{method}\n{parts.path}\n\n{listed}\n{names}\n{_NO_BODY}"
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = _mac(self._signing_key(moment[:8]), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}").hex()
        credential = f"Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}

    def _signing_key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_key}".encode()
        for text in (day, self.region, "s3", "aws4_request"):
            key = _mac(key, text)
        return key


def _bucket(storage: Storage, secrets: MountedSecrets) -> _Bucket:
    if storage.credentials is None:
        raise ValueError("a directory has no keys")
    ref = storage.credentials.secret_ref
    authorities = _text(secrets.path(storage.ca_secret_ref)) if storage.ca_secret_ref else ""
    reached: _Reached = {"base": _base(storage), "authorities": authorities, "proxy": storage.proxy_url}
    texts = {name: _text(secrets.path(key)) for name, key in storage.credentials.lone_keys}
    if storage.account is not None:
        key, token = texts.get("accountKey", ""), texts.get("sasToken", "")
        return _AzureContainer(**reached, account=storage.account, key=key, token=token)
    if "serviceAccountKey" in texts:
        return _GoogleBucket(**reached, key=texts["serviceAccountKey"])
    if ref is None:
        raise ValueError("the bucket has no keys")
    return _S3Bucket(
        **reached,
        region=_region(storage),
        access_key=_text(secrets.path(SecretKeyRef(name=ref.name, key=ref.access_key_key))),
        secret_key=_text(secrets.path(SecretKeyRef(name=ref.name, key=ref.secret_key_key))),
        session_token=_text(secrets.path(ref.keys[2])) if ref.session_token_key else "",
    )


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _region(storage: Storage) -> str:
    return _USUAL_REGION if storage.region is None else region_name(storage.effective_vendor, storage.region)


def _base(storage: Storage) -> str:
    """The bucket's URL."""
    endpoint = storage.own_endpoint or _usual_endpoint(storage)
    scheme, host, *_ = urlsplit(endpoint)
    if storage.effective_addressing is Addressing.VIRTUAL_HOSTED:
        return f"{scheme}://{storage.bucket}.{host}"
    return f"{endpoint.rstrip('/')}/{storage.bucket}"


def _usual_endpoint(storage: Storage) -> str:
    region = _region(storage)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
