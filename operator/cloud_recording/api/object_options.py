# SPDX-License-Identifier: Apache-2.0
"""What every object of a recording gets in its bucket: metadata, tags, caching, storage class and encryption.

Which of it a vendor does not have is a rule of the store (`OBJECT_RULES`): it is refused, and never left out unseen.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from cloud_recording.api.base import SpecModel, camel_case
from cloud_recording.api.rules import Rule, keys_match, keys_match_not, kubernetes, matches, values_match

MOST_METADATA_BYTES: Final = 2048
"""What S3 takes, names and values together."""

_METADATA_NAME: Final = "^[a-z0-9._-]{1,128}$"
_ONE_LINE: Final = "^[!-~]([ -~]*[!-~])?$"
_TAG_KEY: Final = "^[A-Za-z0-9 +=._:/@-]{1,128}$"
_TAG_VALUE: Final = "^[A-Za-z0-9 +=._:/@-]*$"
_RESERVED_TAG: Final = "^[Aa][Ww][Ss]:"


_METADATA_SIZE: Final = Rule(
    f"self.map(key, key.size() + self[key].size()).sum() <= {MOST_METADATA_BYTES}",
    f"must be at most {MOST_METADATA_BYTES} bytes, names and values together",
    lambda entries: sum(len(key) + len(value) for key, value in entries.items()) <= MOST_METADATA_BYTES,
)
_CHARACTERS: Final = "letters (A-Z, a-z), digits, blanks and '+', '-', '=', '.', '_', ':', '/', '@'"

Metadata = Annotated[
    dict[str, Annotated[str, Field(min_length=1, max_length=2048)]],
    Field(
        max_length=32,
        json_schema_extra=kubernetes(
            keys_match(_METADATA_NAME, "must have names of 1 to 128 lower-case letters, digits, '.', '_' and '-'"),
            values_match(_ONE_LINE, "must have values of printable ASCII characters, without a blank at either end"),
            _METADATA_SIZE,
        ),
    ),
]
Tags = Annotated[
    dict[str, Annotated[str, Field(max_length=256)]],
    Field(
        max_length=10,
        json_schema_extra=kubernetes(
            keys_match_not(_RESERVED_TAG, "must not have keys that begin with 'aws:', which are the store's own"),
            keys_match(_TAG_KEY, f"must have keys of 1 to 128 {_CHARACTERS}"),
            values_match(_TAG_VALUE, f"must have values of {_CHARACTERS}"),
        ),
    ),
]
_PRINTABLE: Final = matches(_ONE_LINE, "must be printable ASCII characters, without a blank at either end")
CacheControl = Annotated[str, Field(min_length=1, max_length=256, json_schema_extra=kubernetes(_PRINTABLE))]
StorageClass = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra=kubernetes(
            matches("^[A-Za-z0-9._-]+$", "must be a storage class' name: letters, digits, '.', '_' and '-'")
        ),
    ),
]
KmsKeyId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        json_schema_extra=kubernetes(matches("^[!-~]+$", "must be a key's ID, ARN or alias, without blanks")),
    ),
]
KmsKeyName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        json_schema_extra=kubernetes(
            matches(
                "^projects/[!-.0-~]+/locations/[!-.0-~]+/keyRings/[!-.0-~]+/cryptoKeys/[!-.0-~]+$",
                "must be a key's name, 'projects/…/locations/…/keyRings/…/cryptoKeys/…'",
            )
        ),
    ),
]


class EncryptionMode(StrEnum):
    """By whose key an S3 server encrypts."""

    SSE_S3 = "SSE-S3"
    SSE_KMS = "SSE-KMS"


class ServerSideEncryption(SpecModel):
    """Encryption by the store, of everything that is put there."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "!has(self.kmsKeyId) || self.mode == 'SSE-KMS'",
                "must be left out unless `mode` is 'SSE-KMS'",
                lambda encryption: encryption.kms_key_id is None or encryption.mode is EncryptionMode.SSE_KMS,
                field=".kmsKeyId",
            )
        )
    )

    mode: EncryptionMode = Field(
        description="SSE-S3: with keys of the store. SSE-KMS: with a key of its KMS, which takes `kms:GenerateDataKey` "
        "and `kms:Decrypt` of who writes."
    )
    kms_key_id: KmsKeyId | None = Field(
        default=None, description="The key's ID, ARN or alias. With SSE-KMS the store's own for such, if left out."
    )


class ObjectOptions(SpecModel):
    """What every object gets. What a vendor does not have of it is refused."""

    metadata: Metadata | None = Field(
        default=None,
        description="Metadata of your own, by name, such as `x-amz-meta-NAME` of S3: up to 2048 bytes.",
    )
    tags: Tags | None = Field(
        default=None,
        description="Tags, for rules of the bucket's life cycle, for policies and bills: up to ten. They take "
        "`s3:PutObjectTagging` of who writes. Only `vendor` AWS, S3 and AzureBlobStorage have them.",
    )
    cache_control: CacheControl | None = Field(
        default=None,
        description="`Cache-Control` of what is never put again under its name: slices, the MP4, finished playlists of "
        "parts. Live playlists, what is merged of parts and manifests have `no-cache`, unless `livePlaylist` is false.",
    )
    storage_class: StorageClass | None = Field(
        default=None,
        description="Storage class by the vendor's name for it, such as 'STANDARD_IA'; the bucket's own, if left out. "
        "One that has to be restored before it is read is none for a `backup`, nor where one playlist is to be made "
        "over all parts. Aliyun takes none from its S3 API.",
    )
    server_side_encryption: ServerSideEncryption | None = Field(
        default=None,
        description="How the store encrypts, where that is not the bucket's own rule. A store whose answer does not "
        "say that it does so is `UploadUnverified`. Only `vendor` AWS and S3 have it.",
    )
    kms_key_name: KmsKeyName | None = Field(
        default=None,
        description="With `vendor` GoogleCloudStorage: the key of Cloud KMS that encrypts, where that is not the "
        "bucket's own.",
    )


def _object_rule(name: str, refused: str, holds_for: tuple[str, ...], why: str) -> Rule:
    """The option is for these vendors alone; in CEL `refused` says of a store that its vendor is none of them."""

    def holds(storage: Any) -> bool:  # noqa: ANN401 - the module of stores has this one
        options = storage.objects
        return options is None or getattr(options, name) is None or storage.effective_vendor.value in holds_for

    field = camel_case(name)
    rule = f"!has(self.objects) || !has(self.objects.{field}) || !({refused})"
    return Rule(rule, f"must be left out with this `vendor`: {why}", holds, field=f".objects.{field}")


_AZURE_NAME: Final = "^[a-z_][a-z0-9_]*$"


def _names_of_azure(storage: Any) -> bool:  # noqa: ANN401 - the module of stores has this one
    metadata = storage.objects.metadata if storage.objects else None
    is_azure = storage.effective_vendor.value == "AzureBlobStorage"
    return not is_azure or all(re.match(_AZURE_NAME, name) for name in metadata or ())


_ELSEWHERE: Final = "has(self.vendor) && self.vendor in ['Qiniu', 'Aliyun', 'GoogleCloudStorage', 'AzureBlobStorage']"
OBJECT_RULES: Final = (
    _object_rule(
        "tags",
        "has(self.vendor) && self.vendor in ['Qiniu', 'Aliyun', 'GoogleCloudStorage']",
        ("AWS", "S3", "AzureBlobStorage"),
        "only objects of 'AWS', 'S3' and 'AzureBlobStorage' get tags as they are put",
    ),
    _object_rule(
        "storage_class",
        "has(self.vendor) && self.vendor == 'Aliyun'",
        ("AWS", "S3", "Qiniu", "GoogleCloudStorage", "AzureBlobStorage"),
        "by the S3 API of 'Aliyun' objects have the bucket's storage class",
    ),
    _object_rule(
        "server_side_encryption",
        _ELSEWHERE,
        ("AWS", "S3"),
        "only 'AWS' and 'S3' have it; give the bucket its encryption, or 'GoogleCloudStorage' `kmsKeyName`",
    ),
    _object_rule(
        "kms_key_name",
        "!has(self.vendor) || self.vendor != 'GoogleCloudStorage'",
        ("GoogleCloudStorage",),
        "only 'GoogleCloudStorage' has it; 'AWS' and 'S3' have `serverSideEncryption`",
    ),
    Rule(
        "!has(self.vendor) || self.vendor != 'AzureBlobStorage' || !has(self.objects) || !has(self.objects.metadata)"
        f" || self.objects.metadata.all(name, name.matches('{_AZURE_NAME}'))",
        "must have names of lower-case letters, digits and '_', no digit first, with 'AzureBlobStorage': it takes "
        "identifiers alone",
        _names_of_azure,
        field=".objects.metadata",
    ),
)
"""What of it each vendor has."""
