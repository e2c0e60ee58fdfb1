# SPDX-License-Identifier: Apache-2.0
"""The cluster's certificate authority, what it signs, and the kubeconfig files made of it."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.layout import write_if_changed

LIFETIME = datetime.timedelta(days=365)
# Containers' clocks are this machine's, but a clock may be set back a little between making and checking.
CLOCK_TOLERANCE = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate's file and its key's."""

    certificate: Path
    key: Path


class Authority:
    """Signs for one cluster. Everything is made once and then found again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pair = self._pair("ca")
        if not self.pair.certificate.exists():
            self._make_authority()

    def server(self, *, name: str, hosts: Iterable[str], addresses: Iterable[str]) -> KeyPair:
        alternatives = x509.SubjectAlternativeName(
            [x509.DNSName(host) for host in hosts]
            + [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        )
        return self._issue(name, _subject(name), ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, *, user: str, group: str | None = None) -> KeyPair:
        file_name = user.replace(":", "-")
        return self._issue(file_name, _subject(user, group), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def signing_key(self, name: str) -> KeyPair:
        """A key pair that signs tokens: the first file is the public key, no certificate."""
        pair = self._pair(name)
        if not pair.certificate.exists():
            key = _new_key(pair.key)
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            pair.certificate.write_bytes(public)
        return pair

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self._directory / f"{name}.crt", self._directory / f"{name}.key")

    def _make_authority(self) -> None:
        key = _new_key(self.pair.key)
        subject = _subject("test-cluster")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _builder(subject=subject, issuer=subject, key=key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(self.pair, certificate)

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        pair = self._pair(name)
        if pair.certificate.exists():
            return pair
        authority = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        authority_key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        builder = _builder(subject=subject, issuer=authority.subject, key=_new_key(pair.key)).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        self._write(pair, builder.sign(authority_key, hashes.SHA256()))
        return pair

    @staticmethod
    def _write(pair: KeyPair, certificate: x509.Certificate) -> None:
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def write_kubeconfig(path: Path, *, server: str, authority: Authority, client: KeyPair) -> None:
    """Everything is in the one file, so that it can be copied anywhere on this machine."""
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cloud-recording",
        "contexts": [{"name": "cloud-recording", "context": {"cluster": "cloud-recording", "user": "cloud-recording"}}],
        "clusters": [
            {
                "name": "cloud-recording",
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority.pair.certificate)},
            }
        ],
        "users": [
            {
                "name": "cloud-recording",
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
    }
    write_if_changed(path, yaml.safe_dump(content, sort_keys=False))


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return key


def _subject(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(*, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
