# SPDX-License-Identifier: Apache-2.0
"""The callback authority: at every moment of a rotation, what pods trust contains what the operator serves with."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from cloud_recording.controller.certificates import Authority, Lifetimes, advance, new_serving

START = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIMES = Lifetimes()
HOST = "cloud-recording.system.svc"


def test_a_missing_authority_is_made_and_then_left_alone() -> None:
    authority = advance(None, now=START, lifetimes=LIFETIMES)
    assert advance(authority, now=START + timedelta(days=1), lifetimes=LIFETIMES) is authority


def test_a_recorder_with_any_bundle_of_the_last_hours_can_check_what_is_served_through_all_rotations() -> None:
    authority: Authority | None = None
    bundles: list[str] = []
    signers = set()
    for day in range(3 * 365):
        now = START + timedelta(days=day)
        authority = advance(authority, now=now, lifetimes=LIFETIMES)
        bundles = [*bundles[-1:], authority.bundle]
        signers.add(authority.signing.certificate)
        serving = new_serving(authority.signing, hosts=[HOST], now=now, lifetimes=LIFETIMES)
        for bundle in bundles:
            verify(serving.parsed, bundle=bundle, now=now)
    assert len(signers) >= 3


def test_former_authorities_are_dropped_when_they_have_expired() -> None:
    authority: Authority | None = None
    for day in range(5 * 365):
        authority = advance(authority, now=START + timedelta(days=day), lifetimes=LIFETIMES)
        assert authority.bundle.count("BEGIN CERTIFICATE") <= 3


def test_an_authority_that_expired_while_nobody_looked_is_replaced() -> None:
    authority = advance(None, now=START, lifetimes=LIFETIMES)
    late = START + timedelta(days=400)
    assert advance(authority, now=late, lifetimes=LIFETIMES).signing != authority.signing


def test_the_authority_is_accepted_by_a_strict_verifier() -> None:
    authority = advance(None, now=datetime.now(UTC), lifetimes=LIFETIMES)
    context = ssl.create_default_context(cadata=authority.bundle)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.get_ca_certs()


def verify(certificate: x509.Certificate, *, bundle: str, now: datetime) -> None:
    store = Store(x509.load_pem_x509_certificates(bundle.encode()))
    PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(HOST)).verify(certificate, [])
