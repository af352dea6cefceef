"""The bench runs: a little of each part gives a figure for each head of its table."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from tests.bench_drift import policies, rows, short
from tests.bench_drift.flights import halves, loaded
from tests.bench_drift.frames import FAULTS as FAULTS_OF_ROWS
from tests.bench_drift.frames import FrameStream, faulty
from tests.bench_drift.gates import TESTS, promoted
from tests.bench_drift.labelled import CALM, DRIFTING, KINDS, World
from tests.bench_drift.lives import MONTH, Models
from tests.bench_drift.peers import DETECTORS, EVIDENTLY
from tests.bench_drift.profiles import ROWS, measured
from tests.bench_drift.streams import FAULTS

# Evidently's own imports.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
SMALL = FrameStream(columns=8, reference_days=20, windows=1, rows_a_day=160)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_measured(name: str) -> None:
    stream = ROWS[name]
    found = list(measured(replace(stream, columns=4, windows=1, reference_days=30), 1))
    assert len(found) == 3 + len(FAULTS)
    assert all(0 <= value <= 100 for value in found)


# Evidently takes its time, and is seen below.
@pytest.mark.parametrize("name", sorted(DETECTORS.keys() - {EVIDENTLY}))
def test_a_detector_is_measured(name: str) -> None:
    found = list(rows.compared(SMALL, DETECTORS[name], range(1)))
    assert len(found) == len(rows.HEADS)
    assert all(0 <= value <= 100 for value in found)


def test_faults_of_rows_are_in_columns_of_their_own() -> None:
    _, window = SMALL.draw(0)
    wrong, places = faulty(window, 0)
    changed = {name for name in window if not wrong[name].equals(window[name])}
    assert len(set(places.values())) == len(FAULTS_OF_ROWS)
    assert changed == set(places.values())


def test_evidently_calls_far_what_the_lives_of_policies_take_for_it() -> None:
    models = Models(World("covariate, sudden", 0.1, windows=16, rows_a_day=40).draw(0))
    reference, window = (pd.DataFrame(models.rows(day, day + MONTH).x).add_prefix("x") for day in (0, 15 * MONTH))
    then, now = (frame.assign(at=0) for frame in (reference, window))
    _, share = models.drifted(MONTH, 15 * MONTH)
    assert len(DETECTORS[EVIDENTLY](then, [now])[0].columns) / reference.shape[1] == share > 0


def test_weeks_of_a_quarter_are_drawn_once() -> None:
    reference, windows = halves(loaded(), 1, 0)
    days = [set(frame["at"]) for frame in (reference, *windows)]
    assert [len(one) for one in days] == [63, 7, 7, 7, 7]
    assert len(set.union(*days)) == 91


@pytest.mark.parametrize("kind", KINDS)
def test_streams_change_where_they_say(kind: str) -> None:
    world = World(kind, 0.0)
    assert (world.changed(0) is None) == (kind in CALM)
    first, *_, last = world.draw(0)
    assert first.x.shape == last.x.shape


def test_policies_are_compared() -> None:
    found = dict(policies.table(0.1, 1, rows_a_day=30))
    assert found.keys() == policies.POLICIES.keys()
    assert all(len(figures) == len(policies.HEADS) for figures in found.values())
    assert found[policies.NEVER][:2] == [0, 0]
    assert found[policies.EVERY][:2] == [19, 100]


def test_short_batches_are_judged_together() -> None:
    shifted = next(kind for kind in DRIFTING if kind.startswith("concept"))
    lives = policies.lives(World(shifted, 0.1, rows_a_day=100), 0, 7)
    assert lives["the default"].trained
    assert not lives[policies.NEVER].trained


def test_daily_batches_are_waited_for() -> None:
    calm, *waited = short.daily(0.0, short.VARIANTS["the default"], 1, 1)
    assert calm <= 2
    assert all(0 < days <= 30 for days in waited)


def test_a_contest_is_won_by_what_is_truly_better() -> None:
    assert all(share == 100 for _, share in promoted(0.1, 0.2, 2))
    assert dict(promoted(0.1, -0.2, 2)) == dict.fromkeys(TESTS, 0)
