# SPDX-License-Identifier: Apache-2.0
"""The volume on which slices wait for their upload."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.quantity import whole
from cloud_recording.api.rules import Rule, kubernetes


def _is_large_enough(size: str) -> bool:
    try:
        return whole(size) >= whole("64Mi")
    except ValueError:
        return False


VolumeSize = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=kubernetes(
            Rule(
                "isQuantity(self) && quantity(self).compareTo(quantity('64Mi')) >= 0",
                "must be a quantity of at least '64Mi', such as '4Gi'",
                _is_large_enough,
            )
        ),
    ),
]


class EmptyDirWork(SpecModel):
    """A volume that lives as long as the pod."""

    size_limit: VolumeSize = Field(
        default="2Gi",
        description="Most that the recording may keep on the node's disk, which is reserved there. Capture pauses, "
        "with a stated gap, before it would be exceeded.",
    )

    @property
    def size_limit_bytes(self) -> int:
        """The limit as the engine's configuration takes it; the volume itself does not show it to those inside."""
        return whole(self.size_limit)


class PersistentVolumeClaimWork(SpecModel):
    """A volume of its own, which survives the loss of a pod or node."""

    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="StorageClass of the claim; the cluster's default if left out."
    )
    size: VolumeSize = Field(description="Size of the volume.")


class WorkVolume(SpecModel):
    """Exactly one kind of volume."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "has(self.emptyDir) != has(self.persistentVolumeClaim)",
                "must have exactly one of `emptyDir` and `persistentVolumeClaim`",
                lambda work: (work.empty_dir is None) != (work.persistent_volume_claim is None),
            )
        )
    )

    empty_dir: EmptyDirWork | None = Field(
        default=None,
        description="Keep undelivered slices in the pod: losing the pod loses at most what was not yet uploaded.",
    )
    persistent_volume_claim: PersistentVolumeClaimWork | None = Field(
        default=None,
        description="Keep undelivered slices on a claim: when pod or node are lost they stay there, at most the open "
        "slice is gone, and the status names what was not uploaded. The claim is deleted with the recording.",
    )
