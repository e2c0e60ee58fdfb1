# SPDX-License-Identifier: Apache-2.0
"""Certificates that nobody else has signed, for servers of this machine's."""

import subprocess
from pathlib import Path


def self_signed(directory: Path, *, names: str = "IP:127.0.0.1", called: str = "tls") -> tuple[Path, Path]:
    """A certificate for these names (as openssl has a `subjectAltName`), and its key: PEM files that are called so."""
    certificate, key = directory / f"{called}.pem", directory / f"{called}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={called}"]
    more = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command, *more, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key
