# SPDX-License-Identifier: Apache-2.0
"""Where recordings are stored: a bucket, how to reach it, and which Secret opens it; or a directory on a claim."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from cloud_recording.api.base import KeptModel, SpecModel, camel_case
from cloud_recording.api.object_options import OBJECT_RULES, ObjectOptions
from cloud_recording.api.rules import Rule, all_of, kubernetes, matches, matches_not, object_name
from cloud_recording.api.secret_refs import SecretKey, SecretKeyRef, SecretName
from cloud_recording.api.url_rules import NO_LINK_LOCAL, is_http_url, of_field


class StorageVendor(StrEnum):
    """The vendors of the interface by name, any other server that speaks S3, and stores that do not."""

    QINIU = "Qiniu"
    AWS = "AWS"
    ALIYUN = "Aliyun"
    S3 = "S3"
    GOOGLE_CLOUD_STORAGE = "GoogleCloudStorage"
    AZURE_BLOB_STORAGE = "AzureBlobStorage"

    @property
    def speaks_s3(self) -> bool:
        """Whether its buckets take requests as S3 has them."""
        return self not in (StorageVendor.GOOGLE_CLOUD_STORAGE, StorageVendor.AZURE_BLOB_STORAGE)


GOOGLE_ENDPOINT: Final = "https://storage.googleapis.com"
AZURE_DOMAIN: Final = "blob.core.windows.net"


class Addressing(StrEnum):
    PATH = "Path"
    VIRTUAL_HOSTED = "VirtualHosted"


class BucketSecretRef(SpecModel):
    """A Secret with an access key and a secret key."""

    name: SecretName = Field(description="Name of the Secret, in the namespace of the recording.")
    access_key_key: SecretKey = Field(
        default="accessKey", description="Key in the Secret that holds the access key (ID)."
    )
    secret_key_key: SecretKey = Field(default="secretKey", description="Key in the Secret that holds the secret key.")
    session_token_key: SecretKey | None = Field(
        default=None,
        description="Key in the Secret that holds the session token, of keys that are good for a while; none if left "
        "out. Whoever renews them writes all three at once.",
    )

    @property
    def keys(self) -> tuple[SecretKeyRef, ...]:
        """Every key of the Secret that is needed."""
        named = (self.access_key_key, self.secret_key_key, self.session_token_key)
        return tuple(SecretKeyRef(name=self.name, key=key) for key in named if key is not None)


_ANY_TIME: Final = "Its content may change at any time: the next upload uses it"
_UNDER_WAY: Final = (
    f"{_ANY_TIME}, of recordings under way too. Another Secret is used by pods that begin after the next successful "
    "probe."
)
_SERVICE_ACCOUNT_KEY: Final = (
    "With `vendor` GoogleCloudStorage: Secret key that holds a service account's key, the JSON document that Google "
    "hands out."
)
_ACCOUNT_KEY: Final = "With `vendor` AzureBlobStorage: Secret key that holds a key of the storage account."
_ACCESS_SIGNATURE: Final = (
    "With `vendor` AzureBlobStorage: Secret key that holds a shared access signature (SAS token) for the container, "
    "such as 'sv=…&se=…&sp=cw&sig=…'."
)
_KINDS_OF_KEYS: Final = (
    "secret_ref",
    "service_account_key_secret_ref",
    "account_key_secret_ref",
    "sas_token_secret_ref",
)
_ONE_KIND_OF_KEYS: Final = Rule(
    f"[{', '.join(f'has(self.{camel_case(name)})' for name in _KINDS_OF_KEYS)}].exists_one(given, given)",
    "must have exactly one of `secretRef`, `serviceAccountKeySecretRef`, `accountKeySecretRef` and `sasTokenSecretRef`",
    lambda credentials: sum(getattr(credentials, name) is not None for name in _KINDS_OF_KEYS) == 1,
)


class BucketCredentials(SpecModel):
    """Who writes to the bucket."""

    model_config = ConfigDict(json_schema_extra=kubernetes(_ONE_KIND_OF_KEYS))

    secret_ref: BucketSecretRef | None = Field(
        default=None, description=f"Secret that holds the access key and the secret key. {_UNDER_WAY}"
    )
    service_account_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description=f"{_SERVICE_ACCOUNT_KEY} {_UNDER_WAY}",
    )
    account_key_secret_ref: SecretKeyRef | None = Field(default=None, description=f"{_ACCOUNT_KEY} {_UNDER_WAY}")
    sas_token_secret_ref: SecretKeyRef | None = Field(default=None, description=f"{_ACCESS_SIGNATURE} {_UNDER_WAY}")

    @property
    def lone_keys(self) -> tuple[tuple[str, SecretKeyRef], ...]:
        """Keys that are one text each, by the names of their fields without `SecretRef`."""
        named = {camel_case(name.removesuffix("_secret_ref")): getattr(self, name) for name in _KINDS_OF_KEYS[1:]}
        return tuple((name, ref) for name, ref in named.items() if ref is not None)


class StorageCredentials(BucketCredentials):
    """Who writes to the bucket."""

    secret_ref: BucketSecretRef | None = Field(
        default=None,
        description=f"Secret that holds the access key and the secret key. {_ANY_TIME}.",
        json_schema_extra=kubernetes(fixed=True),
    )
    service_account_key_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description=f"{_SERVICE_ACCOUNT_KEY} {_ANY_TIME}.",
        json_schema_extra=kubernetes(fixed=True),
    )
    account_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description=f"{_ACCOUNT_KEY} {_ANY_TIME}.", json_schema_extra=kubernetes(fixed=True)
    )
    sas_token_secret_ref: SecretKeyRef | None = Field(
        default=None, description=f"{_ACCESS_SIGNATURE} {_ANY_TIME}.", json_schema_extra=kubernetes(fixed=True)
    )


ClaimName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=kubernetes(object_name("PersistentVolumeClaim")),
    ),
]


ServiceAccountName = Annotated[
    str,
    Field(min_length=1, max_length=253, json_schema_extra=kubernetes(object_name("ServiceAccount"))),
]


class ClaimDirectory(SpecModel):
    """The root directory of a claim's volume, which pods of recordings mount."""

    claim_name: ClaimName = Field(
        description="Name of a PersistentVolumeClaim in the namespace of the recording, which recordings neither make "
        "nor delete. One that several nodes can mount (`ReadWriteMany`) lets a next part begin on another node while "
        "the one before still has something to put there.",
    )


Bucket = Annotated[
    str,
    Field(
        min_length=3,
        max_length=63,
        json_schema_extra=kubernetes(
            matches(
                "^[a-z0-9][a-z0-9._-]*[a-z0-9]$",
                "must be a bucket's name: lower-case letters, digits, '-', '_' and '.', a letter or digit first and "
                "last",
            )
        ),
    ),
]
ENDPOINT_RULES: Final = of_field(
    "endpoint",
    Rule(
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",
        "must be a URL with the scheme 'https' or 'http' and a host",
        is_http_url,
    ),
    Rule(
        "!self.contains('@')",
        "must not carry credentials; they belong in `credentials.secretRef`",
        lambda endpoint: "@" not in endpoint,
    ),
    matches(
        "^[a-z]+://[^/?#]*/?$",
        "must not have a path, query or fragment; use `bucket` and `prefix`",
    ),
    NO_LINK_LOCAL,
)

PROXY_RULES: Final = of_field(
    "proxyURL",
    Rule(
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",
        "must be a URL with the scheme 'http' or 'https' and a host",
        is_http_url,
    ),
    Rule(
        "!self.contains('@')",
        "must not carry credentials: everybody who may read the object reads them, and a proxy is asked without any",
        lambda url: "@" not in url,
    ),
    matches("^[a-z]+://[^/?#]*/?$", "must not have a path, query or fragment"),
    NO_LINK_LOCAL,
    attribute="proxy_url",
)

Endpoint = Annotated[str, Field(min_length=1, max_length=512)]
ProxyURL = Annotated[str, Field(min_length=1, max_length=512)]
StorageAccount = Annotated[
    str,
    Field(
        min_length=3,
        max_length=24,
        json_schema_extra=kubernetes(
            matches("^[a-z0-9]+$", "must be a storage account's name: lower-case letters and digits")
        ),
    ),
]
Prefix = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        json_schema_extra=kubernetes(
            all_of(
                matches("^[A-Za-z0-9._=+-]+(/[A-Za-z0-9._=+-]+)*$", ""),
                matches_not("(^|/)[.][.]?(/|$)", ""),
                message="must be names joined by '/', without '/' at either end: letters, digits, '.', '_', '=', '+' "
                "and '-'",
            )
        ),
    ),
]
Region = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            **kubernetes(
                Rule(
                    "type(self) != string || (self.size() >= 1 && self.size() <= 64 && self.matches('^[a-z0-9-]+$'))",
                    "must be a region's name of lower-case letters, digits and '-', or the SDK's number of a region",
                    lambda region: isinstance(region, int) or re.fullmatch("[a-z0-9-]{1,64}", region) is not None,
                ),
                Rule(
                    "type(self) != int || (self >= 0 && self <= 17)",
                    "must be from 0 to 17 when it is a number",
                    lambda region: isinstance(region, str) or region in range(18),
                ),
            ),
        }
    ),
]

InstanceIdentity = Annotated[
    bool,
    Field(json_schema_extra=kubernetes(Rule("self", "must be true, or be left out", lambda value: value))),
]

GoogleServiceAccount = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=kubernetes(
            matches(
                "^[a-z0-9-]+@[a-z0-9.-]+[.]gserviceaccount[.]com$",
                "must be the e-mail address of a Google service account, NAME@PROJECT.iam.gserviceaccount.com",
            )
        ),
    ),
]

_OPENED_BY = ("credentials", "service_account_name", "instance_identity")
"""What a bucket can be opened by."""
_OF_BUCKETS = (
    *(
        "vendor",
        "account",
        "region",
        "endpoint",
        "addressing",
        "ca_secret_ref",
        "proxy_url",
        "live_playlist",
        "objects",
    ),
    *_OPENED_BY,
    "google_service_account",
)
"""What a directory has none of; nothing of that is dropped unseen."""
ONE_STORE: Final = Rule(
    "has(self.bucket) != has(self.directory)",
    "must have exactly one of `bucket` and `directory`",
    lambda storage: (storage.bucket is None) != (storage.directory is None),
)
_ONE_STORE_OR_REF: Final = Rule(
    "[has(self.bucket), has(self.directory), has(self.ref)].exists_one(given, given)",
    "must have exactly one of `bucket`, `directory` and `ref`",
    lambda storage: [storage.bucket, storage.directory, storage.ref].count(None) == 2,
)
_REF_ALONE: Final = Rule(
    f"!has(self.ref) || !({' || '.join(f'has(self.{camel_case(name)})' for name in (*_OF_BUCKETS, 'prefix'))})",
    "must have nothing of a store beside `ref`: the RecordingStorage has it all",
    lambda storage: storage.ref is None or all(getattr(storage, name) is None for name in (*_OF_BUCKETS, "prefix")),
)
_OF_GOOGLE: Final = "has(self.vendor) && self.vendor == 'GoogleCloudStorage'"
_OF_AZURE: Final = "has(self.vendor) && self.vendor == 'AzureBlobStorage'"


_KNOW_NODES: Final = (StorageVendor.AWS, StorageVendor.S3, StorageVendor.GOOGLE_CLOUD_STORAGE)
_KNOW_PODS: Final = (*_KNOW_NODES, StorageVendor.AZURE_BLOB_STORAGE)
_KEYS_OF: Final = {
    StorageVendor.GOOGLE_CLOUD_STORAGE: frozenset({"serviceAccountKey"}),
    StorageVendor.AZURE_BLOB_STORAGE: frozenset({"accountKey", "sasToken"}),
}


def _found_by_name(vendor: StorageVendor, in_cel: str, buckets: str, *, by: str) -> tuple[Rule, Rule]:
    """Where this vendor's buckets are is nothing to be said; `in_cel` says of a store that it is this vendor's."""

    def rule(field: str, why: str) -> Rule:
        return Rule(
            f"!has(self.{field}) || !({in_cel})",
            f"must be left out when `vendor` is '{vendor.value}': its {buckets} are {why}",
            lambda storage: getattr(storage, field) is None or storage.vendor is not vendor,
            field=f".{field}",
        )

    return rule("region", f"found by {by}"), rule("addressing", "named in the URL's path")


STORE_RULES: Final = (
    Rule(
        f"!has(self.bucket) || [{', '.join(f'has(self.{camel_case(name)})' for name in _OPENED_BY)}]"
        ".exists_one(given, given)",
        "must have exactly one of `credentials`, `serviceAccountName` and `instanceIdentity` beside `bucket`",
        lambda storage: storage.bucket is None or sum(getattr(storage, name) is not None for name in _OPENED_BY) == 1,
    ),
    Rule(
        "!has(self.serviceAccountName) || !has(self.vendor) || !(self.vendor in ['Aliyun', 'Qiniu'])",
        "must have `credentials` with this `vendor`: only 'AWS', 'S3', 'GoogleCloudStorage' and 'AzureBlobStorage' "
        "know a pod by its identity",
        lambda storage: storage.service_account_name is None or storage.effective_vendor in _KNOW_PODS,
    ),
    Rule(
        "!has(self.instanceIdentity) || !has(self.vendor) || self.vendor in ['AWS', 'S3', 'GoogleCloudStorage']",
        "must not have `instanceIdentity` with this `vendor`: only 'AWS', 'S3' and 'GoogleCloudStorage' know a node by "
        "its identity",
        lambda storage: storage.instance_identity is None or storage.effective_vendor in _KNOW_NODES,
    ),
    Rule(
        f"!has(self.googleServiceAccount) || (has(self.serviceAccountName) && {_OF_GOOGLE})",
        "must be left out unless `vendor` is 'GoogleCloudStorage' and `serviceAccountName` names the ServiceAccount "
        "that acts as it",
        lambda storage: (
            storage.google_service_account is None
            or (storage.service_account_name is not None and storage.vendor is StorageVendor.GOOGLE_CLOUD_STORAGE)
        ),
        field=".googleServiceAccount",
    ),
    Rule(
        f"!has(self.directory) || !({' || '.join(f'has(self.{camel_case(name)})' for name in _OF_BUCKETS)})",
        "must have nothing beside `directory` but `prefix`: all else is a bucket's",
        lambda storage: storage.directory is None or all(getattr(storage, name) is None for name in _OF_BUCKETS),
    ),
    Rule(
        "!has(self.bucket) || has(self.endpoint) || (has(self.vendor) && (self.vendor in ['GoogleCloudStorage', "
        "'AzureBlobStorage'] || (self.vendor != 'S3' && has(self.region))))",
        "must have `endpoint` when `vendor` is 'S3' or left out, and `region` or `endpoint` for AWS, Aliyun and Qiniu",
        lambda storage: (
            storage.bucket is None
            or storage.endpoint is not None
            or not storage.effective_vendor.speaks_s3
            or (storage.effective_vendor is not StorageVendor.S3 and storage.region is not None)
        ),
    ),
    Rule(
        f"!has(self.credentials) || (has(self.credentials.serviceAccountKeySecretRef) == ({_OF_GOOGLE}) && "
        "(has(self.credentials.accountKeySecretRef) || has(self.credentials.sasTokenSecretRef)) == "
        f"({_OF_AZURE}))",
        "must have `credentials.serviceAccountKeySecretRef` when `vendor` is 'GoogleCloudStorage', "
        "`credentials.accountKeySecretRef` or `credentials.sasTokenSecretRef` when it is 'AzureBlobStorage', and "
        "`credentials.secretRef` for any other vendor",
        lambda storage: (
            storage.credentials is None
            or {name for name, _ in storage.credentials.lone_keys or (("secret", None),)}
            <= _KEYS_OF.get(storage.effective_vendor, frozenset({"secret"}))
        ),
    ),
    Rule(
        f"!has(self.bucket) || has(self.account) == ({_OF_AZURE})",
        "must have `account` when `vendor` is 'AzureBlobStorage', and only then",
        lambda storage: (
            storage.bucket is None
            or (storage.account is not None) == (storage.vendor is StorageVendor.AZURE_BLOB_STORAGE)
        ),
    ),
    *_found_by_name(StorageVendor.AZURE_BLOB_STORAGE, _OF_AZURE, "containers", by="their account"),
    *_found_by_name(StorageVendor.GOOGLE_CLOUD_STORAGE, _OF_GOOGLE, "buckets", by="their names"),
    Rule(
        "!has(self.region) || type(self.region) != int || (has(self.vendor) && self.vendor != 'S3')",
        "must be a region's name when `vendor` is 'S3'",
        lambda storage: storage.effective_vendor is not StorageVendor.S3 or not isinstance(storage.region, int),
        field=".region",
    ),
    Rule(
        "!has(self.region) || type(self.region) != int || !has(self.vendor) || self.vendor != 'Qiniu' || "
        "self.region <= 3",
        "must be from 0 to 3 when `vendor` is 'Qiniu'",
        lambda storage: (
            storage.vendor is not StorageVendor.QINIU or not isinstance(storage.region, int) or storage.region <= 3
        ),
        field=".region",
    ),
    *OBJECT_RULES,
)


class StoragePlace(KeptModel):
    """What of a bucket may change until the first slice is verified there, and its proxy at any time; of a directory
    nothing may."""

    bucket: Annotated[str, Field(max_length=63)] = Field(description="Name of the bucket.")
    account: Annotated[str, Field(max_length=24)] | None = Field(
        default=None, description="Name of the storage account that the bucket is in, of Azure Blob Storage."
    )
    endpoint: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="URL of the storage server, where the spec names one."
    )
    region: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Name of the bucket's region, where the spec names one."
    )
    proxy_url: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="URL of the proxy on the way there, where the spec names one."
    )


FIXED_ONCE_STORED: Final = tuple(name for name in StoragePlace.model_fields if name != "proxy_url")
"""Where files are: how they get there may change at any time."""


_PROXY_ON_THE_WAY: Final = (
    "URL of the HTTP proxy that the store is reached through, such as 'http://proxy.example.com:3128', and so is "
    "whoever gives out keys for an identity, but for what runs on the node. It resolves the store's host name, and has "
    "to let pods through without a login."
)


class Store(SpecModel):
    """A bucket and the way to it, or a directory."""

    vendor: StorageVendor | None = Field(
        default=None,
        description="Who runs the bucket. S3, if left out: any server that speaks the S3 protocol; it needs "
        "`endpoint`. GoogleCloudStorage is opened by a service account's key, and AzureBlobStorage, whose containers "
        "are in an `account`, by that account's key or a SAS token, both also by an identity; they have neither "
        "`region` nor `addressing`.",
        json_schema_extra=kubernetes(fixed=True),
    )
    account: StorageAccount | None = Field(
        default=None,
        description="Name of the storage account that the bucket, there a container, is in. Needed with `vendor` "
        "AzureBlobStorage, which alone has it.",
    )
    region: Region | None = Field(
        default=None,
        description="Region of the bucket: its name, or the number the recorder SDK gives it. With `vendor` S3 it is "
        "the name that requests are signed with, 'us-east-1' if left out.",
    )
    bucket: Bucket | None = Field(
        default=None, description="Name of the bucket. Exactly one of `bucket`, `directory` and `ref` is given."
    )
    directory: ClaimDirectory | None = Field(
        default=None,
        description="A directory for the store, instead of a bucket: recordings are files of a claim, which whatever "
        "mounts it can play, copy or serve. Nothing is beside it but `prefix`.",
        json_schema_extra=kubernetes(fixed=True),
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="URL of the storage server, such as 'https://s3.example.com'. Needed with `vendor` S3; for the "
        "others it follows from `region`; of Google Cloud Storage it is 'https://storage.googleapis.com', and of Azure "
        "Blob Storage 'https://ACCOUNT.blob.core.windows.net'. Where an address or a name without a dot is its host, "
        "as of an emulator, Azure's account is the first part of the path.",
    )
    prefix: Prefix | None = Field(
        default=None,
        description="What every object's key begins with, such as 'meetings/2026'; '/' follows by itself. Of a "
        "`directory`, the directories below it that files go to, which are made.",
        json_schema_extra=kubernetes(fixed=True),
    )
    addressing: Addressing | None = Field(
        default=None,
        description="Whether the bucket is named in the URL's path or in its host. If left out: Path with `vendor` S3, "
        "VirtualHosted for AWS, Aliyun and Qiniu.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret key that holds, in PEM, the certificate authorities to trust for `endpoint`, besides the "
        "system's own.",
    )
    proxy_url: ProxyURL | None = Field(default=None, description=f"{_PROXY_ON_THE_WAY} It may change at any time.")
    live_playlist: bool | None = Field(
        default=None,
        description="Whether the playlist is put again as it grows, so that it can be played meanwhile; true, if left "
        "out. False has playlist and manifest be put once, at the end, and nothing twice under one key: for a bucket "
        "in which no object can be replaced (S3 Object Lock, immutability policies) or a key that may not.",
    )
    objects: ObjectOptions | None = Field(
        default=None,
        description="What every object gets that is put there: metadata, tags, caching, storage class, encryption.",
    )
    credentials: BucketCredentials | None = Field(
        default=None,
        description="Keys that open the bucket. Beside `bucket` there is exactly one of `credentials`, "
        "`serviceAccountName` and `instanceIdentity`.",
    )
    service_account_name: ServiceAccountName | None = Field(
        default=None,
        description="ServiceAccount whose identity opens the bucket, instead of keys: the recorder's pods run as it, "
        "with the role that the cluster gives them for it (on EKS: IAM roles for service accounts, or Pod Identity; on "
        "AKS: Workload Identity; on GKE: workload identity federation). "
        "The administrator decides which may be named.",
    )
    google_service_account: GoogleServiceAccount | None = Field(
        default=None,
        description="With `vendor` GoogleCloudStorage: e-mail address of the Google service account that the "
        "ServiceAccount of `serviceAccountName` acts as, by its annotation `iam.gke.io/gcp-service-account`; left out, "
        "it acts as itself. A token of any other account, such as the node's own, is refused. The administrator says "
        "which may be named.",
    )
    instance_identity: InstanceIdentity | None = Field(
        default=None,
        description="True has the identity of the node, its instance profile or, of Google, its service account, open "
        "the bucket, instead of keys. The administrator decides whether that is allowed.",
    )

    @property
    def is_write_once(self) -> bool:
        """Whether nothing is put twice under one key."""
        return self.live_playlist is False

    @property
    def has_identity(self) -> bool:
        """Whether an identity opens it, instead of keys."""
        return self.service_account_name is not None or self.instance_identity is not None

    @property
    def effective_vendor(self) -> StorageVendor:
        """The vendor that holds when the spec leaves it out."""
        return self.vendor or StorageVendor.S3

    @property
    def effective_addressing(self) -> Addressing:
        """The addressing that holds when the spec leaves it to the vendor."""
        if self.addressing is not None:
            return self.addressing
        vendor = self.effective_vendor
        in_path = vendor is StorageVendor.S3 or not vendor.speaks_s3
        return Addressing.PATH if in_path else Addressing.VIRTUAL_HOSTED

    @property
    def own_endpoint(self) -> str | None:
        """The URL that the spec names, or that follows from the vendor alone or its account; None for any other."""
        if self.endpoint is not None:
            host = urlsplit(self.endpoint).hostname or ""
            in_path = self.account is not None and ("." not in host or _is_address(host))
            return f"{self.endpoint.rstrip('/')}/{self.account}" if in_path else self.endpoint
        if self.vendor is StorageVendor.GOOGLE_CLOUD_STORAGE:
            return GOOGLE_ENDPOINT
        if self.vendor is StorageVendor.AZURE_BLOB_STORAGE:
            return f"https://{self.account}.{AZURE_DOMAIN}"
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class StorageRef(SpecModel):
    """A RecordingStorage, which many recordings share."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=253, json_schema_extra=kubernetes(object_name("RecordingStorage"))),
    ] = Field(
        description="Name of a RecordingStorage in the namespace of the recording. Where it is not there or not ready, "
        "the recording waits for it (`WaitingForStorage`).",
    )


def _fixed(name: str) -> Any:  # noqa: ANN401 - as pydantic has it of a field
    """The store's field of this name, which of a recording stays as it was."""
    return Field(
        default=None, description=Store.model_fields[name].description, json_schema_extra=kubernetes(fixed=True)
    )


class Storage(Store):
    """A bucket and the way to it, or a directory, or the name of a RecordingStorage that has them."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(_ONE_STORE_OR_REF, _REF_ALONE, *STORE_RULES, *ENDPOINT_RULES, *PROXY_RULES)
    )

    addressing: Addressing | None = _fixed("addressing")
    ca_secret_ref: SecretKeyRef | None = _fixed("ca_secret_ref")
    live_playlist: bool | None = _fixed("live_playlist")
    objects: ObjectOptions | None = _fixed("objects")
    credentials: StorageCredentials | None = Field(
        default=None,
        description="Keys that open the bucket. Beside `bucket` there is exactly one of `credentials`, "
        "`serviceAccountName` and `instanceIdentity`.",
    )
    service_account_name: ServiceAccountName | None = _fixed("service_account_name")
    google_service_account: GoogleServiceAccount | None = _fixed("google_service_account")
    instance_identity: InstanceIdentity | None = _fixed("instance_identity")
    ref: StorageRef | None = Field(
        default=None,
        description="The RecordingStorage to use, instead of a store that is written out here. Nothing of a store is "
        "beside it.",
        json_schema_extra=kubernetes(fixed=True),
    )

    @property
    def is_unresolved(self) -> bool:
        """Whether nothing is known of it but the name of a RecordingStorage."""
        return self.ref is not None and self.bucket is None and self.directory is None

    def is_same_place(self, other: Storage) -> bool:
        """Whether both have their files under the same keys of the same bucket, or names of the same directory."""
        names = ("effective_vendor", "account", "bucket", "directory", "prefix", "ref")
        same = all(getattr(self, name) == getattr(other, name) for name in names)
        return same and _bare(self.endpoint) == _bare(other.endpoint)


SAME_ENDPOINT: Final = ".lowerAscii().replace('/', '')"
"""In CEL, what two URLs of the same server have in common, as `_bare` has it."""


def _bare(endpoint: str | None) -> str:
    return (endpoint or "").lower().replace("/", "")


class BackupStorage(Storage):
    """A second store, for what the first does not take."""

    proxy_url: ProxyURL | None = Field(default=None, description=_PROXY_ON_THE_WAY)
    credentials: StorageCredentials | None = Field(
        default=None,
        description="Keys that open the backup's bucket: they put objects and get them (`s3:PutObject`, "
        "`s3:GetObject`; of Google Cloud Storage the role Storage Object User; of Azure a SAS token's rights to "
        "create, write and read). Beside `bucket` there is exactly one of `credentials`, `serviceAccountName` and "
        "`instanceIdentity`.",
    )
    after_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=60,
        description="How many seconds `storage` may fail, without taking a slice, before slices go to the backup; 0 "
        "for at once. Before recording has to pause as the work volume is full, they go in any case.",
    )
