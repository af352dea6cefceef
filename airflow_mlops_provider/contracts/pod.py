"""Contract of a pod: what a step needs of Kubernetes, in few words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from airflow_mlops_provider.contracts.base import Contract, Json

__all__ = ["CODE_FOLDER", "NAME_PATTERN", "OUTCOME_FOLDER", "QUANTITY_PATTERN", "GpuClass", "Pod", "Volume"]

# Kubernetes' own grammar of a quantity: 500m, 2, 1.5, 16Gi, 1e3. And of an object's name.
QUANTITY_PATTERN = r"^\d+(\.\d+)?(m|[kMGTPE]i?|[eE]\d+)?$"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"

# Below the lake's root: what goes to pods, and what comes from them.
CODE_FOLDER = "_code"
OUTCOME_FOLDER = "_outcomes"


def _as_text(value: Any) -> Any:  # whatever was written
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


# `cpu: 2` is a number to whoever writes it.
Quantity = Annotated[str, BeforeValidator(_as_text), StringConstraints(pattern=QUANTITY_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class GpuClass(Contract):
    """A kind of accelerator, named once in `[mlops] gpu_classes`."""

    resource: str = Field("nvidia.com/gpu", description="the device plugin's name, such as `nvidia.com/mig-1g.10gb`")
    node_selector: dict[str, str] = {}
    tolerations: tuple[Json, ...] = ()
    price: float | None = Field(None, ge=0, description="of one device for an hour")
    on_demand: str | None = Field(None, description="class to run in once this one was taken away too often")


class Volume(Contract):
    """One volume and where it is mounted: of `claim`, `secret`, `config_map` and `empty_dir` exactly one."""

    mount_path: str = Field(pattern="^/")
    read_only: bool = False
    claim: Name | None = None
    secret: Name | None = None
    config_map: Name | None = None
    empty_dir: Quantity | None = Field(None, description="at most that much")

    @model_validator(mode="after")
    def _one_source(self) -> Volume:
        given = [n for n in ("claim", "secret", "config_map", "empty_dir") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of claim, secret, config_map and empty_dir, not {given or 'none'}")
        return self


class Pod(Contract):
    """The pod that a step runs in. What is not said is the cluster's default."""

    image: str = Field(min_length=1)
    namespace: Name | None = None
    gpu: str | None = Field(None, description="a class of `[mlops] gpu_classes`")
    gpus: int = Field(1, ge=1, description="devices, where `gpu` is given")
    workers: int = Field(1, ge=1, description="pods that train together; each has all of what is said here")
    cpu: Quantity | None = None
    memory: Quantity | None = None
    memory_ceiling: Quantity | None = Field(None, description="out of memory once: try again with up to that much")
    ephemeral_storage: Quantity | None = None
    shm: Quantity | None = Field(None, description="shared memory, which PyTorch's data loaders need")
    resources: Json | None = Field(None, description="Kubernetes' own `requests` and `limits`, laid over the rest")
    volumes: dict[Name, Volume] = {}
    priority_class: Name | None = None
    service_account: Name | None = Field(None, description="with a token: the way to cloud storage without a secret")
    secrets: tuple[Name, ...] = Field((), description="existing Secrets whose keys become environment variables")
    node_selector: dict[str, str] = {}
    tolerations: tuple[Json, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    interruptions: int = Field(5, ge=0, description="pods that may be lost to the cluster before the task fails")
    code: Literal["image", "bundle"] = Field("image", description="where the pipeline's own files are")
    bundle: str = Field(".", description="folder in the image that the pipeline's paths and functions start at")
    grace: int = Field(30, ge=0, description="seconds between SIGTERM and SIGKILL")

    @model_validator(mode="after")
    def _one_code(self) -> Pod:
        if self.code == "bundle" and self.bundle != ".":
            raise ValueError("bundle is a folder in the image; with `code: bundle` nothing is taken from there")
        return self
