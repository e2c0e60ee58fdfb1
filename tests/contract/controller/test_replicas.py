# SPDX-License-Identifier: Apache-2.0
"""Two replicas behind one Service, with recordings under way: one dies, one is told to end, their authority rotates."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION
from cloud_recording.controller.certificates import KeyPair, Lifetimes, new_authority
from cloud_recording.kube.own_secret import OwnSecret, StoredSecret
from tests.contract.controller.fleet import Fleet
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage
from tests.contract.controller.tcp_proxy import TCPProxy

Json = dict[str, Any]

RECORDINGS = int(os.environ.get("FLEET_RECORDINGS", "30"))
"""`FLEET_RECORDINGS=100` for as many as are too many for every day."""

ROTATED = 10
LEASE_SECONDS = 8
"""Longer than a loaded machine keeps a process waiting."""
HELD = "lease held"


def pair_behind(
    service: TCPProxy,
    new_operator: Callable[..., OperatorProcess],
    *,
    environment: Sequence[dict[str, str]] = ({}, {}),
) -> list[OperatorProcess]:
    """Two replicas that run, each of which tells recorders the Service's URL; the first acts."""
    replicas = []
    for number, variables in enumerate(environment):
        replica = new_operator(name=f"operator-{number}", lease_seconds=LEASE_SECONDS, environment=variables)
        callbacks = {
            "url": f"https://localhost:{service.port}",
            "port": replica.callback_port,
            "caSecretName": "callback-ca",
        }
        replica.settings = {"callbacks": callbacks}
        replicas.append(replica)
        replica.start()
        replica.await_serving()
    service.targets = [replica.callback_port for replica in replicas]
    return replicas


async def until_led(replica: OperatorProcess) -> None:
    await asyncio.to_thread(replica.await_logged, HELD)


async def lease_holder(stage: Stage) -> str:
    lease = await stage.client.get(f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/cloud-recording")
    return str(lease["spec"]["holderIdentity"])


def identity_of(replica: OperatorProcess) -> str:
    return f"{replica.name}_{replica.name}"


async def seconds_to_a_pod(stage: Stage, name: str) -> float:
    """How long the replicas take to begin a recording."""
    begun = time.monotonic()
    await stage.apply(name)
    await stage.new_pod(name)
    return time.monotonic() - begun


async def test_a_killed_leader_costs_no_callback_and_touches_no_pod(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """Another one acts within half a minute, and at once where the leader was told to end: it gives the Lease back."""
    async with TCPProxy.before() as service:
        replicas = pair_behind(service, new_operator)
        await until_led(replicas[0])
        fleet = await Fleet.recording(stage, RECORDINGS, url=f"https://localhost:{service.port}")
        async with fleet.reporting():
            await fleet.until_heard()
            holder = await lease_holder(stage)
            other, leader = sorted(replicas, key=lambda replica: identity_of(replica) == holder)
            assert identity_of(leader) == holder
            leader.kill()
            assert await seconds_to_a_pod(stage, "after-a-death") < 30
            assert HELD in other.log.read_text()
            await fleet.until_heard()
            leader.start()
            leader.await_serving()
            await fleet.until_heard()
            assert await asyncio.to_thread(other.stop) == 0
            assert await lease_holder(stage) != identity_of(other)
            assert await seconds_to_a_pod(stage, "after-an-end") < 30
            await fleet.until_heard()
            await fleet.assert_no_pod_touched()
        await fleet.end()


async def test_the_authority_rotates_under_recordings(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """One replica signs with the successor while the other still has the former: recorders know both by then."""
    async with TCPProxy.before() as service:
        first, second = pair_behind(service, new_operator)
        fleet = await Fleet.recording(stage, ROTATED, url=f"https://localhost:{service.port}")
        async with fleet.reporting():
            secret = OwnSecret(stage.client, namespace=stage.namespace, name="callback-ca")
            successor = new_authority(now=datetime.now(UTC), lifetimes=Lifetimes())
            await publish(secret, successor)
            await start_anew(second, first)
            for pod in fleet.pods.values():
                await stage.until_pod(pod["metadata"]["name"], lambda seen: authorities(seen) == 2)
            await fleet.trust_anew()
            await fleet.until_heard()

            await publish(secret, earlier(successor, by=Lifetimes().successor_unused))
            await start_anew(second)
            assert "callback authority advanced" in second.log.read_text()
            for _ in range(3):
                # Now to the one, now to the other.
                service.cut()
                await fleet.until_heard()
            await fleet.assert_pods_live()
        await fleet.end()


async def publish(secret: OwnSecret, successor: KeyPair) -> None:
    """Puts the successor beside the authority that signs, as a replica does in time."""
    stored = await secret.read()
    data = {"successor.crt": successor.certificate, "successor.key": successor.key}
    await secret.write(StoredSecret(data={**stored.data, **data}, version=stored.version))


def earlier(authority: KeyPair, *, by: timedelta) -> KeyPair:
    """The same authority as if it had been made before."""
    key = load_pem_private_key(authority.key, password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    made = authority.parsed
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject)
        .issuer_name(made.issuer)
        .public_key(made.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made.not_valid_before_utc - by)
        .not_valid_after(made.not_valid_after_utc - by)
    )
    for extension in made.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return KeyPair(certificate=builder.sign(key, SHA256()).public_bytes(Encoding.PEM), key=authority.key)


def authorities(pod: Json | None) -> int:
    """How many the pod is told to trust."""
    assert pod is not None
    return str(pod["metadata"]["annotations"][CALLBACK_CA_ANNOTATION]).count("BEGIN CERTIFICATE")


async def start_anew(*replicas: OperatorProcess) -> None:
    """One after the other, as a rollout does."""
    for replica in replicas:
        assert await asyncio.to_thread(replica.stop) == 0
        replica.start()
        await asyncio.to_thread(replica.await_serving)
