"""What an accelerator's error means, read from its words: they are the same from PyTorch, XGBoost, CuPy or JAX.

Sources: the CUDA runtime's `cudaError` names and texts, NVIDIA's Xid catalogue, PyTorch's own messages.
"""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_mlops_provider.contracts.protocol import Outcome

__all__ = ["advised", "lost_device"]

_LOST_WORDS = re.compile(
    r"uncorrectable (NVLink |ECC )?error|cudaErrorECCUncorrectable|gpu is lost|fallen off the bus|\bXid\b"
    r"|device\(s\) is/are busy or unavailable|cudaErrorDevices?Unavailable|cudaErrorHardwareStackError"
    r"|unable to determine the device handle",
    re.IGNORECASE,
)
_DRIVER_WORDS = re.compile(
    r"driver version is insufficient|driver on your system is too old|cudaErrorInsufficientDriver"
    r"|no kernel image is available|cudaErrorNoKernelImageForDevice|unsupported display driver / cuda driver"
    r"|forward compatibility was attempted|cudaErrorSystemDriverMismatch|driver/library version mismatch"
    r"|provided PTX was compiled with an unsupported toolchain",
    re.IGNORECASE,
)
_MEMORY_WORDS = re.compile(
    r"CUDA out of memory|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CUDNN_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_ALLOC_FAILED|HIP out of memory|RESOURCE_EXHAUSTED: Out of memory"
    r"|cupy\S*OutOfMemoryError|torch\S*OutOfMemoryError|CUDA error: out of memory|cudaMalloc failed: out of memory",
    re.IGNORECASE,
)
_MEMORY_ADVICE = (
    "the device's memory is full: smaller batches, mixed precision or gradient accumulation in the training function, "
    "or a `gpu` class with more memory; the same pod would meet it again"
)
_DRIVER_ADVICE = (
    "the image's CUDA and the node's driver or device do not go together: an image built for an older CUDA or for "
    "this kind of device, or a `gpu` class whose nodes have a newer driver"
)


def advised(outcome: Outcome) -> Outcome:
    """Return the outcome of a failed step with what can be done about it, where an accelerator is at fault.

    Out of the device's memory and a driver that does not fit are input faults: no retry helps.
    """
    for words, advice in ((_MEMORY_WORDS, _MEMORY_ADVICE), (_DRIVER_WORDS, _DRIVER_ADVICE)):
        if words.search(_said(outcome)):
            return replace(outcome, kind="bad_input", error=f"{outcome.error}\n{advice}")
    return outcome


def lost_device(outcome: Outcome) -> bool:
    """Tell whether a step failed because its device was lost: a pod on another node may do the work."""
    return _LOST_WORDS.search(_said(outcome)) is not None


def _said(outcome: Outcome) -> str:
    """Return a fault's own words: of its trace the last line only, for the rest shows whatever the code holds."""
    if outcome.status != "failed":
        return ""
    return "\n".join([outcome.error, *outcome.trace.strip().splitlines()[-1:]])
