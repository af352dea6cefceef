"""The page of a pipeline's history says what was measured and decided, and no more than that."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import (
    BatchDrift,
    BatchPerformance,
    ColumnDrift,
    PredictionEffect,
    Shares,
)
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.monitoring_page import monitoring_page

EFFECT = PredictionEffect(mean=0.031, each=0.052, rows=2000)


class History:
    """A pipeline's lines, a month a call."""

    def __init__(self, lake) -> None:
        self.monitoring, self.decisions = Monitoring(lake, "p"), DecisionLedger(lake, "p")

    def add(self, kind, month, record):
        names = {"model": "m", "version": "1", "run_key": f"{kind}/{month}"}
        self.monitoring.add(kind, f"2013-{month:02}", self.end(month), record, **names)

    def end(self, month):
        return datetime(2013, month + 1, 1, tzinfo=UTC)

    def measure(self, month, loss, **more):
        metrics = {"log_loss": MetricEstimate(value=loss, se=0.01, rows=9, blocks=3)}
        line = BatchPerformance(batch="", version="1", rows=10, labelled=9, metrics=metrics, **more)
        self.add("estimate" if line.estimated else "performance", month, line)

    def drift(self, month, distance, *, drifted, named=False, **more):
        column = {"column": "price", "psi": 0.1, "null_rate": 0.0, "reference_null_rate": 0.0, "level": 0.2}
        columns = (ColumnDrift(**column, jensen_shannon=distance, drifted=drifted, named=named, **more),)
        self.add("drift", month, BatchDrift(batch="", rows=10, columns=columns, drifted=(), paged=()))

    def decide(self, month, decision, reason):
        at = self.end(month)
        made = Decision(id=f"p__{month}", batch=f"2013-{month:02}", at=at, decision=decision, reason=reason)
        self.decisions.add(made)


@pytest.fixture
def history(lake):
    return History(lake)


def test_each_batch_is_a_point_in_data_time(lake, history):
    for month, loss in ((2, 0.42), (1, 0.40), (3, 0.47)):
        history.measure(month, loss)
    page = monitoring_page(lake, "p")
    (drawing,) = [part.partition("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]
    circles = ET.fromstring(f"<svg{drawing}").findall("circle")
    assert [c.find("title").text.partition(" (")[0] for c in circles] == [
        "2013-01: 0.4000",
        "2013-02: 0.4200",
        "2013-03: 0.4700",
    ]
    heights = [float(c.get("cy")) for c in circles]
    assert heights == sorted(heights, reverse=True)
    across = [float(c.get("cx")) for c in circles]
    assert across == sorted(across)


def test_an_estimate_is_hollow_until_it_is_measured(lake, history):
    history.measure(1, 0.40)
    history.measure(2, 0.43, estimated=True)
    assert monitoring_page(lake, "p").count('fill="#fff"') == 1
    history.measure(2, 0.46)
    page = monitoring_page(lake, "p")
    assert (page.count('fill="#fff"'), "0.4300" in page, "0.4600" in page) == (0, False, True)


def test_a_column_over_its_level_stands_out(lake, history):
    history.drift(1, 0.05, drifted=False)
    history.drift(2, 0.23, drifted=True)
    history.drift(3, 0.31, drifted=True, named=True)
    page = monitoring_page(lake, "p")
    assert '<td class="" title="level 0.200">0.050</td>' in page
    assert '<td class="drifted" title="level 0.200">0.230</td>' in page
    assert '<td class="named" title="level 0.200">0.310</td>' in page


def test_a_column_that_drifted_has_its_newest_window_and_its_distances_drawn(lake, history):
    then, now = Shares(places=("to <1", "null"), reference=(0.9, 0.1), current=(0.4, 0.6)), None
    history.drift(1, 0.05, drifted=False, shares=now)
    history.drift(2, 0.23, drifted=True, shares=then, detail="nulls 10 %", effect=EFFECT)
    history.drift(3, 0.07, drifted=False, shares=now, page_level=0.31)
    page = monitoring_page(lake, "p")
    assert "<h3>price, 2013-02</h3><p>nulls 10 %; predictions' mean +0.0310, each by 0.0520</p>" in page.replace(
        "&#x27;", "'"
    )
    assert "<title>to &lt;1: 90.00% before, 40.00% now</title>" in page
    assert "<title>2013-02: 0.230, level 0.200</title>" in page
    assert "<title>2013-03: 0.070, level 0.200, of all together 0.310</title>" in page
    for part in page.split("<svg")[1:]:
        ET.fromstring(f"<svg{part.partition('</svg>')[0]}</svg>")


def test_a_decision_is_shown_with_its_reason_as_text(lake, history):
    history.measure(1, 0.40)
    history.decide(1, "retrain", "calibration_gap +0.05 <over> its bound")
    page = monitoring_page(lake, "p")
    assert '<tr class="retrain"><td>2013-01</td><td>1</td><td>10</td><td>9</td><td>retrain</td>' in page
    assert "calibration_gap +0.05 &lt;over&gt; its bound" in page


def test_before_the_first_batch_it_says_so(lake):
    assert "No batch was monitored yet" in monitoring_page(lake, "p")
