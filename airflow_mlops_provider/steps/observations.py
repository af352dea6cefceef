"""What the governor sees: observations and ended trainings, from the lines of the monitoring table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import EndedTraining, Observation
from airflow_mlops_provider.steps.batches import BatchRow

__all__ = ["ended_trainings", "observation"]


def observation(row: BatchRow, line: Json | None, drift: Json | None, champion: str | None) -> Observation:
    """Return what the governor sees of a batch; a champion that scored it in shadow is judged by its shadow.

    `line` and `drift` are the batch's lines of the monitoring table, where there are any.
    """
    record = line["record"] if line else {}
    seen = drift["record"] if drift else {}
    shadow = champion is not None and record.get("shadow_version") == champion
    return Observation(
        batch=row.batch.id,
        end=row.batch.end.astimezone(UTC),
        timezone=row.batch.timezone,
        labelled=record.get("labelled", row.rows),
        version=record.get("shadow_version" if shadow else "version"),
        metrics=record.get("shadow" if shadow else "metrics", {}),
        drifted=tuple(seen.get("drifted", ())),
        named=tuple(seen.get("named", ())),
        max_column=seen.get("max_column"),
        max_effect=seen.get("max_effect"),
        effects=_effects(seen.get("columns", ())),
    )


def _effects(columns: Iterable[Json]) -> dict[str, Json]:
    found = {column["column"]: column["effect"] for column in columns if column.get("effect")}
    return dict(sorted(found.items(), key=lambda effect: (-effect[1]["each"], effect[0])))


def ended_trainings(lines: Iterable[Json], ends: Mapping[str, datetime]) -> list[EndedTraining]:
    """Return the trainings of monitoring's lines of kind `training`; `ends` are the ends of the batches, by id.

    A training whose newest batch is not among `ends`, such as one of a model from elsewhere, is left out: nobody
    knows on which data it was judged.
    """
    return [
        EndedTraining(
            until=line["batch"],
            end=ends[line["batch"]],
            version=line["version"],
            verdict=line["record"]["verdict"],
            reason=line["record"]["reason"],
        )
        for line in lines
        if line["batch"] in ends
    ]
