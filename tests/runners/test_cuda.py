"""An accelerator's errors: whose fault they are, and what to do."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.cuda import advised, lost_device

FULL = [
    "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 9.50 GiB",
    "XGBoostError: [12:00:00] memory.h: Caught exception: cudaErrorMemoryAllocation: out of memory",
    "ResourceExhaustedError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes.",
    "RuntimeError: CUDA error: out of memory",
    "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
]
DRIVER = [
    "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).",
    "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    "CUDA driver version is insufficient for CUDA runtime version",
    "NVMLError_LibRmVersionMismatch: Driver/library version mismatch",
    "Error 803: system has unsupported display driver / cuda driver combination",
]
LOST = [
    "RuntimeError: CUDA error: uncorrectable ECC error encountered",
    "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU",
    "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",
]
OTHERS = [
    # Where none was asked for, too: another node would not help.
    "RuntimeError: No CUDA-capable device is detected",
    "MemoryError: Unable to allocate 8.00 GiB",
    "ValueError: no device named gpu",
    "RuntimeError: expected all tensors to be on the same device, but found cuda:0 and cpu",
]


def failed(error, trace=""):
    return Outcome("failed", kind="bug", error=error, trace=trace)


@pytest.mark.parametrize("error", FULL)
def test_a_full_device_is_an_input_fault_with_advice(error):
    found = advised(failed(error))
    assert (found.kind, lost_device(found)) == ("bad_input", False)
    assert found.error.startswith(error)
    assert "smaller batches" in found.error


@pytest.mark.parametrize("error", DRIVER)
def test_a_driver_that_does_not_fit_is_one_too(error):
    found = advised(failed(error))
    assert (found.kind, lost_device(found)) == ("bad_input", False)
    assert "an image built for an older CUDA" in found.error


@pytest.mark.parametrize("error", LOST)
def test_a_lost_device_is_not_the_steps_fault(error):
    assert lost_device(failed(error))
    assert advised(failed(error)) == failed(error)


@pytest.mark.parametrize("error", OTHERS)
def test_other_errors_stay_as_they_are(error):
    assert (advised(failed(error)), lost_device(failed(error))) == (failed(error), False)


def test_the_cause_may_be_the_traces_last_line_but_no_line_of_code():
    deep = failed("TrainingError: epoch 3", "Traceback:\n  fit()\ntorch.OutOfMemoryError: CUDA out of memory.\n")
    assert advised(deep).kind == "bad_input"
    code = failed("KeyError: 'a'", 'Traceback:\n  except "CUDA out of memory"\nKeyError: a')
    assert advised(code) == code


def test_a_success_that_speaks_of_it_is_a_success():
    done = Outcome("succeeded", result={"note": "CUDA out of memory"}, error="")
    assert (advised(done), lost_device(done)) == (done, False)
