# SPDX-License-Identifier: Apache-2.0
"""What names a pod's identity in its environment, as SDKs read it: names, URLs and token files, never a key."""

from __future__ import annotations

from typing import Final

IDENTITY_VARIABLES: Final = (
    # IAM roles for service accounts, and whatever else gives out temporary keys for a web identity.
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME", "AWS_ENDPOINT_URL_STS"),
    # EKS Pod Identity, and tasks of ECS.
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    # Instance profiles.
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    *("AWS_REGION", "AWS_DEFAULT_REGION"),
    # The metadata server, of GKE and of Google's machines.
    "GCE_METADATA_HOST",
    # Workload identity of Azure.
    *("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"),
)
