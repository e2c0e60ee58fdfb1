# SPDX-License-Identifier: Apache-2.0
"""What a recording may say about its own pod: metadata, resources and placement, never images, volumes or
privileges."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.rules import Rule, keys_match_not, kubernetes

_QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def _quantity_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, Field(min_length=1, max_length=253)]
QualifiedName = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
Quantity = Annotated[
    str,
    Field(pattern=_QUANTITY_PATTERN, max_length=32, json_schema_extra={"x-kubernetes-int-or-string": True}),
    BeforeValidator(_quantity_text),
]

_RESERVED_KEYS: Final = keys_match_not(
    "(^|[.])(kubernetes[.]io|k8s[.]io|cloudrecording[.]dev)/",
    "must not use keys of 'kubernetes.io', 'k8s.io' or 'cloudrecording.dev'",
)
_KEY_LENGTH: Final = Rule(
    "self.all(key, key.size() >= 1 && key.size() <= 317)",
    "must have keys of 1 to 317 characters",
    lambda keys: all(1 <= len(key) <= 317 for key in keys),
)


class SelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class NodeSelectorOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GREATER_THAN = "Gt"
    LESS_THAN = "Lt"


class TolerationOperator(StrEnum):
    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class NodeSelectorRequirement(SpecModel):
    """A requirement that a node's label or field must meet."""

    key: QualifiedName = Field(description="Label or field of the node.")
    operator: NodeSelectorOperator = Field(description="How the label is compared with `values`.")
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = Field(
        default=(), description="Values to compare with; none for Exists and DoesNotExist, one integer for Gt and Lt."
    )


class NodeSelectorTerm(SpecModel):
    """All of these requirements must be met."""

    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)] = Field(
        default=(), description="Requirements on the node's labels."
    )
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)] = Field(
        default=(), description="Requirements on the node's fields, such as 'metadata.name'."
    )


class NodeSelector(SpecModel):
    """One of these terms must be met."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16)] = Field(
        description="Terms, of which at least one must be met."
    )


class PreferredNodeTerm(SpecModel):
    """A preference among nodes."""

    weight: Annotated[int, Field(ge=1, le=100)] = Field(description="How much a node that meets the term is preferred.")
    preference: NodeSelectorTerm = Field(description="The term.")


class NodeAffinity(SpecModel):
    """Which nodes the pod may run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="What a node must meet when the pod is placed."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodeTerm, ...], Field(max_length=16)
    ] = Field(default=(), description="What a node should meet when the pod is placed.")


class LabelSelectorRequirement(SpecModel):
    """A requirement that a label must meet."""

    key: QualifiedName = Field(description="The label.")
    operator: SelectorOperator = Field(description="How the label is compared with `values`.")
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = Field(
        default=(), description="Values to compare with; none for Exists and DoesNotExist."
    )


class LabelSelector(SpecModel):
    """Which objects are meant, by their labels. All requirements must be met."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default={}, description="Labels and the values they must have.", json_schema_extra=kubernetes(_KEY_LENGTH)
    )
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] = Field(
        default=(), description="Further requirements on labels."
    )


class PodAffinityTerm(SpecModel):
    """Pods that this pod should be near to, or far from."""

    label_selector: LabelSelector | None = Field(default=None, description="Which pods are meant.")
    namespaces: Annotated[tuple[Name, ...], Field(max_length=16)] = Field(
        default=(), description="Namespaces of those pods; the recording's own if none is named."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces of those pods, by the namespaces' labels."
    )
    topology_key: QualifiedName = Field(
        description="Label of nodes whose value says what 'near' is, such as 'kubernetes.io/hostname'."
    )


class WeightedPodAffinityTerm(SpecModel):
    """A preference to be near to, or far from, other pods."""

    weight: Annotated[int, Field(ge=1, le=100)] = Field(description="How much the preference counts.")
    pod_affinity_term: PodAffinityTerm = Field(description="The preference.")


class PodAffinity(SpecModel):
    """Which other pods count when the pod is placed."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=16)
    ] = Field(default=(), description="What must hold when the pod is placed.")
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=16)
    ] = Field(default=(), description="What should hold when the pod is placed.")


class Affinity(SpecModel):
    """Where the pod should run, as in a Pod's spec."""

    node_affinity: NodeAffinity | None = Field(default=None, description="Which nodes the pod may run on.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Pods that this pod should be near to.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Pods that this pod should be far from.")


class Toleration(SpecModel):
    """A taint that the pod tolerates, as in a Pod's spec."""

    key: QualifiedName | None = Field(default=None, description="Key of the taint; every key if left out with Exists.")
    operator: TolerationOperator | None = Field(
        default=None, description="How the taint's value is compared; Equal if left out."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint; none with Exists.")
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint; every effect if left out.")
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="How long a NoExecute taint is tolerated; for ever if left out."
    )


class Resources(SpecModel):
    """Requests and limits of the recorder's container. What is left out is taken from the administrator's defaults."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default={},
        description="What is reserved for the recorder, such as `cpu: '1'` and `memory: 256Mi`.",
        json_schema_extra=kubernetes(_KEY_LENGTH),
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default={}, description="What the recorder may use at most.", json_schema_extra=kubernetes(_KEY_LENGTH)
    )


class PodOptions(SpecModel):
    """Metadata, resources and placement of the recorder's pods. The administrator decides what of it is allowed."""

    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default={},
        description="Further labels of the pod.",
        json_schema_extra=kubernetes(_RESERVED_KEYS, _KEY_LENGTH),
    )
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] = Field(
        default={},
        description="Further annotations of the pod.",
        json_schema_extra=kubernetes(_RESERVED_KEYS, _KEY_LENGTH),
    )
    resources: Resources | None = Field(default=None, description="Requests and limits of the recorder's container.")
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default={}, description="Labels that the pod's node must have.", json_schema_extra=kubernetes(_KEY_LENGTH)
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        default=(), description="Taints of nodes that the pod tolerates."
    )
    affinity: Affinity | None = Field(default=None, description="Where the pod should run.")
    priority_class_name: Name | None = Field(default=None, description="PriorityClass of the pod.")
    service_account_name: Name | None = Field(
        default=None,
        description="ServiceAccount of the pod. Its token is not mounted; it stands for image pull secrets and "
        "policies.",
    )
