"""Whatever happened, the policy that decided decides the same again, and no replay invents a figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.decide import Budget, Condition, Debounce, Decision, EndedTraining, RetrainPolicy
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.steps import governor
from airflow_mlops_provider.steps.batches import BatchRow
from airflow_mlops_provider.steps.observations import observation
from airflow_mlops_provider.steps.replay import Moment, Trained, newest, replay

START = datetime(2013, 1, 1, tzinfo=UTC)
days = st.builds(
    dict,
    gap=st.floats(-0.1, 0.1),
    shadow=st.floats(-0.1, 0.1),
    ends=st.sampled_from(["accepted", "refused", "declined", "never", "late"]),
    rollback=st.booleans(),
    by_hand=st.booleans(),
)
policies = st.builds(
    lambda bound, debounce, cooldown, trainings, alert, first: RetrainPolicy(
        when={"gap": Condition(abs_above=bound)},
        debounce=debounce,
        cooldown=timedelta(days=cooldown),
        budget=Budget(trainings=trainings, per=timedelta(days=12)),
        alert_after=alert,
        first_after=first,
    ),
    st.floats(0, 0.1),
    st.none() | st.builds(lambda few, more: Debounce(times=few, of=few + more), st.integers(1, 2), st.integers(0, 2)),
    st.integers(0, 3),
    st.integers(0, 6),
    st.none() | st.integers(1, 2),
    st.integers(1, 2),
)


@dataclass
class Life:
    """A pipeline that is decided on daily under one policy; trainings end before the next day, late, or never."""

    policy: RetrainPolicy
    moments: list[Moment] = field(default_factory=list)
    trained: list[Trained] = field(default_factory=list)
    promotions: list[Promotion] = field(default_factory=list)
    ticks: int = 0

    def now(self) -> datetime:
        self.ticks += 1
        return START + timedelta(days=4000, seconds=self.ticks)

    def champion(self) -> str | None:
        return self.promotions[-1].version if self.promotions else None

    def promote(self, version: str, kind: str = "promote") -> None:
        line = {"sequence": len(self.promotions) + 1, "version": version, "former": self.champion()}
        self.promotions.append(Promotion(kind=kind, recorded_at=self.now(), **line))  # type: ignore[arg-type]  # tests give literals

    def end(self, day: int, verdict: str, decision: str | None) -> None:
        version = str(len(self.trained) + 1)
        word = "refused" if verdict == "refused" else "accepted"
        ended = EndedTraining(until=f"{day:03}", end=START + timedelta(days=day), version=version, verdict=word)  # type: ignore[arg-type]  # as above
        self.trained.append(Trained(ended, decision, self.now()))
        if verdict == "accepted":
            self.promote(version)

    def live(self, history: list[dict[str, Any]]) -> Life:
        late: tuple[int, str] | None = None
        for day, told in enumerate(history, 1):
            moment = self.decide(day, told)
            if late is not None:
                self.end(*late[:1], "accepted", late[1])
            late = None
            assert moment.recorded is not None
            if moment.recorded.decision == "retrain" and told["ends"] == "late":
                late = (day, moment.recorded.id)
            elif moment.recorded.decision == "retrain" and told["ends"] != "never":
                self.end(day, told["ends"], moment.recorded.id)
            elif told["by_hand"] and day > 2:
                self.end(day, told["ends"], None)
        return self

    def decide(self, day: int, told: dict[str, Any]) -> Moment:
        served = self.champion()
        last = self.promotions[-1] if self.promotions else None
        shadow = last.former if last and last.kind == "promote" else None
        lines = () if served is None else (self.line(served, told["gap"], shadow, told["shadow"]),)
        if shadow is not None and told["rollback"]:
            self.promote(shadow, "rollback")
        batch = Batch(id=f"{day:03}", start=START + timedelta(days=day - 1), end=START + timedelta(days=day))
        row = BatchRow(batch, "accepted", 1, 100, {}, "r", self.now())
        self.moments.append(Moment(row, self.now(), self.champion(), None, lines))
        made = self.decision()
        self.moments[-1] = Moment(row, self.moments[-1].known_at, self.champion(), made, lines)
        return self.moments[-1]

    def line(self, version: str, gap: float, shadow: str | None, beside: float) -> dict[str, Any]:
        def figures(value: float) -> dict[str, Any]:
            return {"gap": {"value": value, "rows": 100}}

        record = {"version": version, "labelled": 100, "metrics": figures(gap), "shadow_version": shadow,
                  "shadow": figures(beside) if shadow else {}}  # fmt: skip
        return {"record": record, "recorded_at": self.now()}

    def decision(self) -> Decision:
        decisions = [moment.recorded for moment in self.moments if moment.recorded]
        observed = [observation(m.row, newest(m.lines), None, self.champion()) for m in self.moments]
        last = decisions[-1] if decisions else None
        ended = {trained.ended.until: trained.ended for trained in self.trained}
        running = last.id if last and last.decision == "retrain" and last.batch not in ended else None
        return governor.decide(
            observed, decisions, self.policy, pipeline="p", champion=self.champion(), running=running,
            ended=list(ended.values()),
        )  # fmt: skip


histories = st.lists(days, min_size=1, max_size=14)


@given(histories, policies)
def test_the_policy_that_decided_decides_the_same_again(history: list[dict[str, Any]], policy: RetrainPolicy) -> None:
    life = Life(policy).live(history)
    again = replay(life.moments, policy, pipeline="p", trained=life.trained, promotions=life.promotions)
    made = [moment.recorded for moment in life.moments if moment.recorded]
    assert [(one.decision, one.reason, one.alert) for one in again] == [(d.decision, d.reason, d.alert) for d in made]
    assert all(one.own and one.training in (None, "same") for one in again)
    served = [line["record"]["metrics"]["gap"]["value"] if (line := newest(m.lines)) else None for m in life.moments]
    assert [one.metrics["gap"].value if one.metrics else None for one in again] == served


@given(histories, policies, policies)
def test_another_policy_invents_no_figure_and_the_future_changes_none(
    history: list[dict[str, Any]], policy: RetrainPolicy, other: RetrainPolicy
) -> None:
    life = Life(policy).live(history)
    told = {"pipeline": "p", "trained": life.trained, "promotions": life.promotions}
    whole = replay(life.moments, other, **told)  # type: ignore[arg-type]  # a dict of them
    for moment, said in zip(life.moments, whole, strict=True):
        record = (newest(moment.lines) or {"record": {}})["record"]
        measured = [record.get("metrics"), record.get("shadow")]
        assert {name: figure.model_dump(exclude_unset=True) for name, figure in said.metrics.items()} in [{}, *measured]
    for count in range(len(history)):
        assert replay(life.moments[:count], other, **told) == whole[:count]  # type: ignore[arg-type]  # as above
    assert not any(said.metrics for said in whole[1 + _never(whole) :])


def _never(said: list[Any]) -> int:
    """Return where the first training is that history did not make; the end without one."""
    return next((at for at, one in enumerate(said) if one.training in ("never", "other")), len(said))
