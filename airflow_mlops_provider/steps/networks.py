"""PyTorch: which device it computes on, and its modules as models. None of this imports it where nobody else did."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops_provider.exceptions import ConfigError, DataError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_scores", "device", "forward", "is_module", "settled"]


def device(seed: int, environment: Mapping[str, str] = os.environ) -> str:
    """Return PyTorch's name of this process's device: its accelerator, numbered by LOCAL_RANK if given, or `cpu`.

    Where this imports PyTorch, it gets the seed. Raises MissingExtraError where it is not installed, ConfigError where
    the pod was given a GPU class and PyTorch sees no such device, or fewer than LOCAL_RANK asks for.
    """
    torch = _imported(seed)
    if not torch.accelerator.is_available():
        if asked := environment.get("MLOPS_PRICE"):
            raise ConfigError(_blind(json.loads(asked), torch))
        return "cpu"
    kind, rank = str(torch.accelerator.current_accelerator().type), environment.get("LOCAL_RANK")
    if rank is None:
        return kind
    if int(rank) >= torch.accelerator.device_count():
        raise ConfigError(
            f"LOCAL_RANK is {rank}, and PyTorch sees {torch.accelerator.device_count()} devices ({kind}): "
            "one process a device, numbered from 0"
        )
    return f"{kind}:{int(rank)}"


def is_module(model: Any) -> bool:
    """Tell whether a model is a PyTorch module that brings no `predict` of its own."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module) and not hasattr(model, "predict")


def settled(module: Any) -> Any:
    """Return a module as it is kept: out of DistributedDataParallel, on the CPU, in evaluation mode."""
    from torch.nn.parallel import DistributedDataParallel

    return (module.module if isinstance(module, DistributedDataParallel) else module).cpu().eval()


def forward(module: Any, features: pd.DataFrame) -> np.ndarray:
    """Return what a module makes of the rows as a float32 tensor (n, columns), as MLflow calls it once it is loaded.

    Raises DataError for columns that are text, and for anything but a tensor in return.
    """
    import torch

    texts = [str(name) for name in features if features[name].dtype == object]
    if texts:
        raise DataError(
            f"a PyTorch module takes numbers, and columns {texts} are text: leave them out of dataset.columns, "
            "or give the module a `predict` of its own that takes the data frame"
        )
    with torch.no_grad():
        found = module(torch.from_numpy(features.to_numpy(dtype=np.float32)))
    if not isinstance(found, torch.Tensor):
        raise DataError(f"the module's forward returned a {type(found).__name__}, not a tensor")
    return np.asarray(found.numpy())


def check_scores(scores: np.ndarray, *, binary: bool) -> None:
    """Raise DataError where a module's scores are NaN, or for an outcome of two classes no probabilities."""
    lost = int(np.isnan(scores).sum())
    if lost:
        raise DataError(
            f"the module's prediction is NaN for {lost:,} of {len(scores):,} rows: a null is NaN in its tensor, so let "
            "forward begin with torch.nan_to_num"
        )
    if binary and (scores.min() < 0 or scores.max() > 1):
        raise DataError(
            f"the module's predictions reach from {scores.min():.3g} to {scores.max():.3g}, which are no "
            "probabilities: return torch.nn.Sequential(module, torch.nn.Sigmoid()) where it gives logits"
        )


def _imported(seed: int) -> Any:
    if sys.modules.get("torch") is None:
        try:
            import torch
        except ModuleNotFoundError as exc:
            if exc.name != "torch":
                raise
            raise MissingExtraError("torch", "torch") from None
        torch.manual_seed(seed)
    return sys.modules["torch"]


def _blind(asked: Mapping[str, Any], torch: Any) -> str:
    built = torch.version.cuda or torch.version.hip
    why = f"is built for {built} and finds no device or driver" if built else "is built for the CPU alone"
    return (
        f"the pod was given GPU class {asked['class']!r}, and PyTorch {torch.__version__} sees no device: it {why}. An "
        "image whose PyTorch and driver fit that class, or no `gpu` in runs_on.kubernetes"
    )
