# SPDX-License-Identifier: Apache-2.0
"""The callback authority at work: kept in the operator's own Secret, advanced in time, served from memory.

Every replica keeps a serving certificate of its own, signed by the authority that they share. Whichever replica finds
a step due takes it; the Secret's version decides who was first, and the others read what it wrote.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from cloud_recording.controller.certificates import Authority, KeyPair, Lifetimes, advance, new_serving
from cloud_recording.kube.errors import Conflict, KubeError
from cloud_recording.kube.own_secret import OwnSecret, StoredSecret

logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 300.0
"""How often the Secret is read: soon enough for a step that another replica took, long before a deadline of days."""

_SIGNING, _SUCCESSOR = "signing", "successor"
_FORMER: Final = "former.crt"
_END: Final = b"-----END CERTIFICATE-----\n"


class CallbackAuthority:
    """The TLS context that the callback server uses, and the bundle that recorders check it with."""

    def __init__(
        self,
        secret: OwnSecret,
        *,
        hosts: Sequence[str],
        clock: Callable[[], datetime],
        changed: Callable[[], None],
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._secret = secret
        self._hosts = tuple(hosts)
        self._clock = clock
        self._changed = changed
        self._lifetimes = lifetimes or Lifetimes()
        self._authority: Authority | None = None
        self._serving: tuple[KeyPair, KeyPair] | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def bundle(self) -> str:
        """What recorders have to trust, in PEM."""
        if self._authority is None:
            raise RuntimeError("the authority is used before it was loaded")
        return self._authority.bundle

    @property
    def expires_at(self) -> datetime | None:
        """When the certificate that is served now runs out."""
        return self._serving[1].parsed.not_valid_after_utc if self._serving else None

    async def refresh(self) -> None:
        """Reads the authority, takes the step that is due, and serves under it."""
        authority = await self._advanced()
        if self._authority is None or authority.bundle != self._authority.bundle:
            self._authority = authority
            self._changed()
        self._authority = authority
        self._serve(authority)

    async def keep(self) -> None:
        """Refreshes for as long as the process lives; what fails now is tried again next time."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self.refresh()
            except KubeError as error:
                logger.warning("callback authority not refreshed", extra={"error": error.message})

    async def _advanced(self) -> Authority:
        while True:
            stored = await self._secret.read()
            known = _parse(stored.data)
            authority = advance(known, now=self._clock(), lifetimes=self._lifetimes)
            if authority == known:
                return authority
            try:
                await self._secret.write(StoredSecret(data=_format(authority), version=stored.version))
            except Conflict:
                continue
            logger.info("callback authority advanced")
            return authority

    def _serve(self, authority: Authority) -> None:
        now = self._clock()
        if self._serving is not None:
            signed_by, pair = self._serving
            left = pair.parsed.not_valid_after_utc - now
            if signed_by == authority.signing and left > self._lifetimes.serving_renewed:
                return
        pair = new_serving(authority.signing, hosts=self._hosts, now=now, lifetimes=self._lifetimes)
        _load(self.context, pair)
        self._serving = (authority.signing, pair)


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Has new connections served under the pair. OpenSSL reads files only, so the key is put where no disk is."""
    descriptor = os.memfd_create("callback-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(pair.certificate + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _format(authority: Authority) -> dict[str, bytes]:
    data = {f"{_SIGNING}.crt": authority.signing.certificate, f"{_SIGNING}.key": authority.signing.key}
    if authority.successor is not None:
        data[f"{_SUCCESSOR}.crt"] = authority.successor.certificate
        data[f"{_SUCCESSOR}.key"] = authority.successor.key
    if authority.former:
        data[_FORMER] = b"".join(authority.former)
    return data


def _parse(data: dict[str, bytes]) -> Authority | None:
    """What the Secret holds, as far as it can be used: what somebody has spoilt is made anew."""
    signing = _pair(data, _SIGNING)
    if signing is None:
        return None
    former = tuple(part + _END for part in data.get(_FORMER, b"").split(_END) if _is_certificate(part + _END))
    return Authority(signing=signing, successor=_pair(data, _SUCCESSOR), former=former)


def _is_certificate(pem: bytes) -> bool:
    try:
        x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    return True


def _pair(data: dict[str, bytes], name: str) -> KeyPair | None:
    certificate, key = data.get(f"{name}.crt"), data.get(f"{name}.key")
    if not certificate or not key:
        return None
    pair = KeyPair(certificate=certificate, key=key)
    if not pair.usable:
        logger.error("the Secret of the callback authority is spoilt; it is made anew", extra={"file": f"{name}.crt"})
        return None
    return pair
