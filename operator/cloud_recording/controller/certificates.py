# SPDX-License-Identifier: Apache-2.0
"""The authority that lets recorders know the operator: pure steps over certificates, no files and no Secret.

An authority is replaced in two steps, so that no recorder ever meets a certificate it cannot check. First the
successor is published beside the signing one; pods get both. Only after they have had time to see it, it signs. The
old one stays published until it expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW: Final = timedelta(minutes=5)
"""A node's clock may be behind the one that signed."""


@dataclass(frozen=True, kw_only=True)
class Lifetimes:
    """How long certificates hold and when they are replaced."""

    authority: timedelta = timedelta(days=365)
    successor_published: timedelta = timedelta(days=60)
    """How long before its authority's end the successor is published."""
    successor_unused: timedelta = timedelta(days=1)
    """How long a successor is only published before it signs: pods see a new annotation within minutes."""
    serving: timedelta = timedelta(days=7)
    serving_renewed: timedelta = timedelta(days=2)
    """How long before its end a serving certificate is replaced."""


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A certificate and its private key, both in PEM."""

    certificate: bytes
    key: bytes

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    @property
    def usable(self) -> bool:
        """Whether both can be read and belong together."""
        try:
            key = serialization.load_pem_private_key(self.key, password=None)
            return key.public_key() == self.parsed.public_key()
        except (TypeError, ValueError, UnsupportedAlgorithm):
            return False


@dataclass(frozen=True, kw_only=True)
class Authority:
    """The signing authority, its successor if there is one, and the certificates of those before it."""

    signing: KeyPair
    successor: KeyPair | None = None
    former: tuple[bytes, ...] = ()

    @property
    def bundle(self) -> str:
        """What a recorder has to trust, in PEM."""
        published = [self.signing.certificate, *([self.successor.certificate] if self.successor else []), *self.former]
        return b"".join(published).decode()


def advance(authority: Authority | None, *, now: datetime, lifetimes: Lifetimes) -> Authority:
    """The authority as it has to be at this time; the very same value when nothing is due."""
    if authority is None or authority.signing.parsed.not_valid_after_utc <= now:
        return Authority(signing=new_authority(now=now, lifetimes=lifetimes))
    former = tuple(pem for pem in authority.former if x509.load_pem_x509_certificate(pem).not_valid_after_utc > now)
    if former != authority.former:
        authority = replace(authority, former=former)
    if authority.successor is None:
        if authority.signing.parsed.not_valid_after_utc - now > lifetimes.successor_published:
            return authority
        return replace(authority, successor=new_authority(now=now, lifetimes=lifetimes))
    published_at = authority.successor.parsed.not_valid_before_utc + CLOCK_SKEW
    if now - published_at < lifetimes.successor_unused:
        return authority
    return Authority(signing=authority.successor, former=(authority.signing.certificate, *former))


def new_authority(*, now: datetime, lifetimes: Lifetimes) -> KeyPair:
    """A new self-signed authority that may sign serving certificates and no further authorities."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud-recording callbacks")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetimes.authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def new_serving(signing: KeyPair, *, hosts: Sequence[str], now: datetime, lifetimes: Lifetimes) -> KeyPair:
    """A certificate under which these hosts may be served, signed by the authority."""
    issuer = signing.parsed
    issuer_key = serialization.load_pem_private_key(signing.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key must be an elliptic curve key, as this module makes them")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud-recording")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(min(now + lifetimes.serving, issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
