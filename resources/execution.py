"""Where the steps of a run work: the section `execution` of `rag.yaml`. Values only.

Read when the definitions are made (which executor, what its pods ask for) and by each step (how much it takes on). Not
here: executors (`rag_assets.executors`), and what a cluster needs besides (`deploy/`).
"""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from resources.sections import Section

Quantity = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]


class TolerationSettings(Section):
    """A taint that a pod puts up with, in Kubernetes' own words."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class PodSettings(Section):
    """What a pod asks for, as Kubernetes writes quantities: `cpu` is requested, `memory` requested and the limit."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[TolerationSettings, ...] = ()

    def over(self, default: "PodSettings") -> "PodSettings":
        """Return these settings, with those of `default` where nothing was said."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        rest = {name: getattr(default, name) for name in default.model_fields_set if name not in said}
        return self.model_copy(update=rest)


class EmbeddingPodSettings(PodSettings):
    """What a pod that embeds asks for: besides, `gpu` devices of the resource `gpu_resource`."""

    gpu: int = Field(0, ge=0)
    gpu_resource: str = "nvidia.com/gpu"


class PodsSettings(Section):
    """What pods ask for: those that do an asset's work by the asset's name, all others as `default` says."""

    default: PodSettings = PodSettings()
    documents: PodSettings = PodSettings()
    chunks: PodSettings = PodSettings()
    token_embeddings: EmbeddingPodSettings = EmbeddingPodSettings()
    dense_index: PodSettings = PodSettings()
    bm25_index: PodSettings = PodSettings()
    ragas_report: PodSettings = PodSettings()
    snapshot: PodSettings = PodSettings()

    def of(self, asset: str | None) -> PodSettings:
        """Return what a pod asks for that does the work of this asset, or of none."""
        return getattr(self, asset).over(self.default) if asset is not None else self.default


class ExecutionSettings(Section):
    """Where steps work: `execution: k8s` is short for `execution: {mode: k8s}`.

    `max_concurrent`: steps of one run at once, where they are processes or pods; by default as many as there are cores,
    or pods without a bound. `per_step`: documents fetched or cut, or chunks embedded, by one step of several.
    """

    mode: Literal["in_process", "multiprocess", "k8s"] = "in_process"
    max_concurrent: int | None = Field(None, ge=1)
    per_step: int = Field(20_000, ge=1)
    pods: PodsSettings = PodsSettings()

    @model_validator(mode="before")
    @classmethod
    def _from_one_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_read(self) -> "ExecutionSettings":
        if self.mode == "in_process" and self.max_concurrent is not None:
            raise ValueError("max_concurrent is for multiprocess and k8s; in_process does one step after the other")
        if self.mode != "k8s" and "pods" in self.model_fields_set:
            raise ValueError(f"pods is for k8s, and mode is {self.mode}")
        return self

    def at_once(self, shards: int) -> int:
        """Return how many of so many shards work on one machine at the same time."""
        return min(self.max_concurrent or os.cpu_count() or 1, shards) if self.mode == "multiprocess" else 1
