"""Fakes that record: for the tests of who builds on this package."""

from __future__ import annotations

from airflow_mlops_provider.testing.runner import RecordingRunner

__all__ = ["RecordingRunner"]
