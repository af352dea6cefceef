"""Watermarks only go forward, whoever writes them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.steps.feast_watermarks import Watermark, Watermarks

MARK = Watermark("v", "{}", "store", 3, datetime(2013, 4, 1, tzinfo=UTC))
LATER = timedelta(days=1)


def test_what_another_process_has_passed_is_left(lake):
    watermarks = Watermarks(lake, "p")
    newer, other = replace(MARK, version=4, end=MARK.end + LATER), replace(MARK, view="w")
    watermarks.advance([newer])
    version = lake.version("_features/watermarks")
    watermarks.advance([MARK])
    assert lake.version("_features/watermarks") == version
    watermarks.advance([MARK, other])
    assert watermarks.load() == {"v": newer, "w": other}
    assert Watermarks(lake, "q").load() == {}


def test_another_definition_or_store_starts_anew(lake):
    watermarks = Watermarks(lake, "p")
    for change in ({"definition": "{...}"}, {"store": "other"}, {"version": 9}):
        anew = replace(MARK, version=1, **change) if "version" not in change else replace(MARK, **change)
        watermarks.advance([MARK])
        watermarks.advance([anew])
        assert watermarks.load() == {"v": anew}


def test_processes_at_once_end_at_the_newest(lake):
    script = """
import sys
from datetime import UTC, datetime
from airflow_mlops_provider.steps.feast_watermarks import Watermark, Watermarks
from airflow_mlops_provider.steps.lake import Lake
for version in range(int(sys.argv[2]), 13, 3):
    Watermarks(Lake(sys.argv[1]), "p").advance([Watermark("v", "{}", "s", version, datetime(2013, 4, 1, tzinfo=UTC))])
"""
    children = [subprocess.Popen([sys.executable, "-c", script, lake.root, str(first)]) for first in (1, 2, 3)]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    assert Watermarks(lake, "p").load()["v"].version == 12
