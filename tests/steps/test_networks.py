"""Which device a trainer is told, by what PyTorch says it sees (PyTorch itself: tests/environments/test_torch.py)."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.steps.checkpoint import Checkpoint
from airflow_mlops_provider.steps.context import TrainingContext
from airflow_mlops_provider.steps.networks import device, is_module

ASKED = {"MLOPS_PRICE": json.dumps({"class": "a100", "devices": 1, "price": None})}


@pytest.fixture
def sees(monkeypatch):
    """Let PyTorch say that it sees `count` devices of a kind."""

    def sees(kind, count, cuda="13.0"):
        accelerator = SimpleNamespace(
            is_available=lambda: count > 0,
            current_accelerator=lambda: SimpleNamespace(type=kind),
            device_count=lambda: count,
        )
        versions = SimpleNamespace(cuda=cuda, hip=None)
        torch = SimpleNamespace(accelerator=accelerator, version=versions, __version__="2.13.0")
        monkeypatch.setitem(sys.modules, "torch", torch)

    return sees


@pytest.mark.parametrize(
    ("kind", "count", "environment", "told"),
    [
        ("cuda", 2, {}, "cuda"),
        ("cuda", 2, {"LOCAL_RANK": "1"}, "cuda:1"),
        ("cuda", 1, {"LOCAL_RANK": "0", **ASKED}, "cuda:0"),
        ("mps", 1, {}, "mps"),
        ("cuda", 0, {}, "cpu"),
        ("cuda", 0, {"LOCAL_RANK": "0"}, "cpu"),
    ],
)
def test_the_device_is_what_pytorch_sees(sees, kind, count, environment, told):
    sees(kind, count)
    assert device(0, environment) == told


@pytest.mark.parametrize(
    ("cuda", "why"), [("13.0", "is built for 13.0 and finds no device or driver"), (None, "is built for the CPU alone")]
)
def test_a_gpu_that_was_asked_for_and_is_not_seen_is_said(sees, cuda, why):
    sees("cuda", 0, cuda)
    with pytest.raises(ConfigError, match=f"GPU class 'a100', and PyTorch 2.13.0 sees no device: it {why}"):
        device(0, ASKED)


def test_more_processes_than_devices_are_said(sees):
    sees("cuda", 2)
    with pytest.raises(ConfigError, match=r"LOCAL_RANK is 2, and PyTorch sees 2 devices \(cuda\)"):
        device(0, {"LOCAL_RANK": "2"})


def test_without_pytorch_only_who_asks_is_told_so(monkeypatch, lake):
    monkeypatch.setitem(sys.modules, "torch", None)
    context = TrainingContext("try", checkpoint=Checkpoint(lake, "try"))
    assert not is_module(object())
    with pytest.raises(MissingExtraError, match=r"'torch' is not installed here: pip install .*\[torch\]"):
        _ = context.device
