# SPDX-License-Identifier: Apache-2.0
"""Kubernetes manifests of the testbed: servers of S3, RTMP and LiveKit, and participants, as pods of one namespace.

Pure functions that return manifests; applying them is the caller's business. Every pod meets the `restricted` pod
security standard, so that the tests' namespaces can enforce it on the recorder's pods as well.
"""

import json
from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]

_READ = """
import json, pathlib, sys
playlist = pathlib.Path(sys.argv[1])
sizes = {path.name: path.stat().st_size for path in playlist.parent.iterdir()}
print(json.dumps({"playlist": playlist.read_text(), "sizes": sizes}))
"""

IMAGE = "cloud-recording-testbed:dev"
S3_PORT = 7070
RTMP_PORT = 1935
LIVEKIT_PORT = 7880
LIVEKIT_UDP_PORT = 7882
FILES_PORT = 8000
IDENTITY_PORT = 8080


def namespace(name: str) -> Manifest:
    """Returns a namespace that refuses pods below the restricted standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def bucket_credentials(*, name: str = "bucket-credentials", access_key: str, secret_key: str) -> Manifest:
    """Returns the Secret that holds a bucket's key, in the shape that `storage.credentials` expects."""
    data = {"accessKey": access_key, "secretKey": secret_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def s3_server(*, buckets: Sequence[str], credentials: str = "bucket-credentials") -> list[Manifest]:
    """Returns an S3 server `s3:7070` that checks signatures against the key in the Secret `credentials`."""
    keys = {"ROOT_ACCESS_KEY": "accessKey", "ROOT_SECRET_KEY": "secretKey"}
    env = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": credentials, "key": key}}}
        for variable, key in keys.items()
    ]
    container = _container("s3", ["s3-server", *buckets], port=S3_PORT, env=env, writable="/data")
    return [_deployment("s3", container, writable=True), _service("s3", S3_PORT)]


def identity_server(program: str, *, trusted: str, credentials: str) -> list[Manifest]:
    """Returns a server `identity:8080` that gives keys to whoever shows a token of the account `trusted`, and lets
    those with such keys to the S3 server, whose own are in the Secret `credentials`. `program` is its Python source.

    It asks the API server about tokens, as the account that `token_reviewer` gives the right to.
    """
    keys = {"ROOT_ACCESS_KEY": "accessKey", "ROOT_SECRET_KEY": "secretKey"}
    env: list[Manifest] = [
        {"name": "UPSTREAM", "value": f"s3:{S3_PORT}"},
        {"name": "PORT", "value": str(IDENTITY_PORT)},
        {"name": "TRUSTED_ACCOUNT", "value": trusted},
        *(
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": credentials, "key": key}}}
            for variable, key in keys.items()
        ),
    ]
    container = _container("identity", ["python3", "-c", program], port=IDENTITY_PORT, env=env)
    deployment = _deployment("identity", container)
    own = {"serviceAccountName": "identity", "automountServiceAccountToken": True}
    deployment["spec"]["template"]["spec"].update(own)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "identity"}}
    return [account, deployment, _service("identity", IDENTITY_PORT)]


def token_reviewer(namespace: str) -> list[Manifest]:
    """Returns what lets the namespace's account `identity` ask whose a token is."""
    api = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"identity-{namespace}"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "identity", "namespace": namespace}],
        }
    ]


def rtmp_server() -> list[Manifest]:
    """Returns an RTMP server `rtmp:1935`: publish and play below /live; whoever plays from /locked is refused."""
    container = _container("rtmp", ["rtmp-server"], port=RTMP_PORT, writable="/tmp")
    return [_deployment("rtmp", container, writable=True), _service("rtmp", RTMP_PORT)]


def livekit_credentials(*, name: str = "livekit-credentials", api_key: str, api_secret: str) -> Manifest:
    """Returns the Secret that holds a LiveKit server's key, in the shape that `channel.livekit` expects."""
    data = {"apiKey": api_key, "apiSecret": api_secret, "keys": f"{api_key}: {api_secret}"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def livekit_server(*, credentials: str = "livekit-credentials") -> list[Manifest]:
    """Returns a LiveKit server `livekit:7880` whose key is in the Secret `credentials`.

    Its media goes between pods, without a Service: the server tells everybody the address of its pod.
    """
    rtc = {
        "udp_port": LIVEKIT_UDP_PORT,
        "tcp_port": 0,
        "use_external_ip": False,
        # Nobody here needs to be told how the world sees them; what is asked for it does not answer.
        "stun_servers": ["127.0.0.1:9"],
    }
    configuration = json.dumps({"port": LIVEKIT_PORT, "rtc": rtc, "logging": {"level": "info", "json": True}})
    env: list[Manifest] = [
        {"name": "LIVEKIT_CONFIG", "value": configuration},
        {"name": "LIVEKIT_KEYS", "valueFrom": {"secretKeyRef": {"name": credentials, "key": "keys"}}},
        {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    container = _container("livekit", ["livekit-server"], port=LIVEKIT_PORT, env=env)
    return [_deployment("livekit", container), _service("livekit", LIVEKIT_PORT)]


def file_server(name: str, *, directory: str) -> list[Manifest]:
    """Returns an HTTP server `NAME:8000` of the image's files; what they hold is no media."""
    command = ["python3", "-m", "http.server", "--directory", directory, str(FILES_PORT)]
    return [_deployment(name, _container("files", command, port=FILES_PORT)), _service(name, FILES_PORT, "files")]


def unwritable_volume(name: str) -> Manifest:
    """Returns a volume of the class `unwritable`: a directory of the node that only root may write into."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "unwritable",
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": f"/var/lib/kubelet/{name}", "type": "DirectoryOrCreate"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def claim_reader(name: str, *, claim: str, playlist: str) -> Manifest:
    """Returns a pod of somebody else's that prints a playlist of the claim, and the size of each file beside it."""
    container = _container("reader", ["python3", "-c", _READ, f"/films/{playlist}"])
    container["volumeMounts"] = [{"name": "films", "mountPath": "/films", "readOnly": True}]
    spec = _pod_spec(container)
    # Not the recorder's user: the group of what recordings put on claims is enough.
    others = {"runAsUser": 1000, "runAsGroup": 1000, "supplementalGroups": [spec["securityContext"].pop("fsGroup")]}
    spec["securityContext"].update(others)
    volumes = [{"name": "films", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**spec, "restartPolicy": "Never", "volumes": volumes},
    }


def participant(
    *, name: str, colour: str, tone_hz: int, url: str | None = None, leave_after_seconds: int | None = None
) -> Manifest:
    """Returns a pod that publishes a moving picture and a tone until it is deleted or has to leave."""
    target = url or f"rtmp://rtmp:{RTMP_PORT}/live/{name}"
    leave = [] if leave_after_seconds is None else [str(leave_after_seconds)]
    container = _container("participant", ["participant", target, colour, str(tone_hz), *leave])
    restart = "OnFailure" if leave_after_seconds is None else "Never"
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "participant"}
    metadata = {"name": name, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**_pod_spec(container), "restartPolicy": restart},
    }


def room_participant(
    *,
    name: str,
    token: str,
    colour: str,
    tone_hz: int,
    shared_key: str = "",
    commands: Sequence[tuple[int, str]] = (),
) -> Manifest:
    """Returns a pod that publishes a moving picture and a tone in a room of the LiveKit server.

    With a shared key both are encrypted end to end. Each of the commands, which tests/support/livekit_publisher.py
    knows, is given so many seconds after the one before.
    """
    words = [word for seconds, command in commands for word in (str(seconds), command)]
    url = f"ws://livekit:{LIVEKIT_PORT}"
    key = [{"name": "SHARED_KEY", "value": shared_key}] if shared_key else []
    container = _container("participant", ["room-participant", url, token, colour, str(tone_hz), *words], env=key)
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "participant"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {**_pod_spec(container), "restartPolicy": "OnFailure"},
    }


def noise(*, name: str, kbps: int) -> Manifest:
    """Returns a pod that publishes a picture of noise, of which no encoder can save anything, and no sound."""
    picture = "color=c=gray:size=640x360:rate=15,noise=alls=100:allf=t"
    bits = f"{kbps}k"
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15"]
    rate = ["-b:v", bits, "-maxrate", bits, "-bufsize", bits]
    source = ["ffmpeg", "-nostdin", "-loglevel", "warning", "-re", "-f", "lavfi", "-i", picture]
    command = [*source, *encoder, *rate, "-f", "flv", f"rtmp://rtmp:{RTMP_PORT}/live/{name}"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": _pod_spec(_container("noise", command)),
    }


def _container(
    name: str,
    command: Sequence[str],
    *,
    port: int | None = None,
    env: Sequence[Manifest] = (),
    writable: str | None = None,
) -> Manifest:
    listening = {
        "ports": [{"name": name, "containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": name}, "initialDelaySeconds": 1, "periodSeconds": 1},
    }
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "env": list(env),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **(listening if port else {}),
        **({"volumeMounts": [{"name": "data", "mountPath": writable}]} if writable else {}),
    }


def _pod_spec(container: Manifest, *, writable: bool = False) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        # Links would set S3_PORT and RTMP_PORT, which the scripts read, to the URLs of the Services of that name.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **({"volumes": [{"name": "data", "emptyDir": {}}]} if writable else {}),
    }


def _deployment(name: str, container: Manifest, *, writable: bool = False) -> Manifest:
    labels = {"app.kubernetes.io/name": name}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(container, writable=writable)}
    spec = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _service(name: str, port: int, target: str | None = None) -> Manifest:
    ports = [{"name": name, "port": port, "targetPort": target or name}]
    spec = {"selector": {"app.kubernetes.io/name": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
