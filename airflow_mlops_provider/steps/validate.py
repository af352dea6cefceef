"""Accept, quarantine or refuse a batch: scan every dataset, then publish the batch whole or not at all.

Order of effects: every dataset is scanned first; then failing rows are committed to the quarantine, then the
good rows to their tables, then the ledgers say so. Each commit happens once, whoever tries again.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from airflow_mlops_provider.contracts.base import Batch, DatasetRef, Json
from airflow_mlops_provider.contracts.validate import Checks, DatasetVerdict, ValidateResult, ValidateSpec
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.datasets import within
from airflow_mlops_provider.steps.expectations.audit import Audit, audit
from airflow_mlops_provider.steps.expectations.suite import Suite, load_suite
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.lake_types import check_schema

__all__ = ["quarantine_table", "validate"]

# A dataset without checks states no limit: of its duplicates the first stays, and nothing refuses it.
_UNCHECKED = Checks(max_failed=1.0)


def quarantine_table(dataset: str) -> str:
    """Return the lake table that holds a dataset's failing rows."""
    return f"quarantine/{dataset}"


def validate(spec: ValidateSpec, context: StepContext) -> ValidateResult:
    """Return the verdict on every dataset; publish those named in `spec.publish` if all of them pass.

    Rows that break a critical row expectation, and all but the first of duplicates, go to quarantine. A dataset
    is refused if more than `max_failed` of its rows do, or if a critical claim on the whole table does not hold:
    a figure, the columns, a stated `mostly` that is missed, a claim that cannot be asked (no such column).
    A batch that is accepted already keeps its verdict. Raises ConfigError on a bad suite, DataError if rows are
    not there or a column's type changed.
    """
    _check(spec)
    lake = context.lake(spec)
    names = list(dict.fromkeys([*spec.datasets, *spec.publish]))
    known = _accepted(lake, spec)
    if spec.publish and set(spec.publish) == set(known):
        names = [name for name in names if name not in known]
        context.say(f"batch {_batch(spec).id} is accepted already")
    else:
        known = {}
    suites = {name: _suite(spec, name) for name in names}
    with ExitStack() as stack:
        audits = {}
        for name in names:
            ref, key = _reference(spec, name, lake), spec.unique_keys.get(name, ())
            audits[name] = stack.enter_context(audit(ref, suites[name], key, lake, context))
        verdicts = {name: _verdict(one, spec.datasets.get(name, _UNCHECKED)) for name, one in audits.items()}
        if set(spec.publish) - set(known):
            verdicts = _settle(spec, context, lake, audits, verdicts)
    result = ValidateResult(
        batch=spec.batch.id if spec.batch else None,
        verdict=_worst([*verdicts.values(), *known.values()]),
        datasets={name: known.get(name) or verdicts[name] for name in dict.fromkeys([*spec.datasets, *spec.publish])},
    )
    for name, verdict in result.datasets.items():
        context.say(f"{name}: {verdict.verdict}, {verdict.quarantined:,} of {verdict.rows:,} rows fail")
    return result


def _check(spec: ValidateSpec) -> None:
    if spec.publish and spec.batch is None:
        raise ConfigError("validate: `publish` needs a batch")
    for name, checks in spec.datasets.items():
        if checks.dataset is None and spec.batch is None:
            raise ConfigError(f"validate {name}: give a batch, or the dataset to look at")
        if name in spec.publish and checks.dataset is not None and checks.dataset.kind != "parquet":
            raise ConfigError(
                f"validate {name}: only staged Parquet is published, not {checks.dataset.kind}: "
                f"take {name} out of `publish` for a verdict on it"
            )


def _batch(spec: ValidateSpec) -> Batch:
    if spec.batch is None:
        raise ConfigError("validate: a batch is needed here")
    return spec.batch


def _suite(spec: ValidateSpec, name: str) -> Suite | None:
    path = spec.datasets.get(name, _UNCHECKED).expectation_suite
    if path is None:
        return None
    root = Path(spec.bundle).resolve()
    if not (root / path).resolve().is_relative_to(root):
        raise ConfigError(f"validate {name}: expectation_suite {path!r} lies outside the bundle {root}")
    return load_suite(root / path)


def _reference(spec: ValidateSpec, name: str, lake: Lake) -> DatasetRef:
    checks = spec.datasets.get(name, _UNCHECKED)
    if checks.dataset is not None:
        return within(spec.bundle, checks.dataset)
    return DatasetRef(kind="parquet", name=lake.staged(spec.pipeline, name, _batch(spec).id))


def _verdict(one: Audit, checks: Checks) -> DatasetVerdict:
    found = one.found
    because = list(found.broken)
    if found.quarantined > checks.max_failed * found.rows:
        worst = max(found.reasons, key=lambda reason: found.reasons[reason])
        because.append(
            f"{found.quarantined:,} of {found.rows:,} rows fail ({found.quarantined / found.rows:.1%}), more than "
            f"max_failed {checks.max_failed:.1%}; most often: {worst} ({found.reasons[worst]:,})"
        )
    return DatasetVerdict(
        verdict="refused" if because else "pass",
        rows=found.rows,
        quarantined=found.quarantined,
        reasons=found.reasons,
        expectations=found.results,
        refused_because=tuple(because),
    )


def _worst(verdicts: list[DatasetVerdict]) -> Literal["pass", "refused"]:
    return "refused" if any(v.verdict == "refused" for v in verdicts) else "pass"


def _settle(
    spec: ValidateSpec,
    context: StepContext,
    lake: Lake,
    audits: dict[str, Audit],
    verdicts: dict[str, DatasetVerdict],
) -> dict[str, DatasetVerdict]:
    """Write what the verdicts say, and return them with references to what was written."""
    batch, refused = _batch(spec), _worst(list(verdicts.values())) == "refused"
    for name in spec.publish:
        _check_types(lake, name, audits[name], batch, spec)
        if refused and lake.sequence(name, _app(name, batch)):
            raise DataError(
                f"batch {batch.id}: an earlier try passed and published {name}, this one refuses the batch "
                f"({verdicts[name].refused_because or 'for another dataset'}): what it was judged by has changed "
                f"in between; put the suite and the lookup tables back and try again"
            )
    settled = dict(verdicts)
    for name in spec.publish:
        settled[name] = _quarantine(lake, name, audits[name], settled[name], batch, context.run_key)
    if refused:
        for name in spec.publish:
            _refuse(lake, name, settled[name], batch, context.run_key)
        return settled
    for name in spec.publish:
        settled[name] = _publish(lake, name, audits[name], settled[name], batch, spec)
    for name in spec.publish:
        _accept(lake, name, settled[name], batch, context.run_key)
    return settled


def _app(name: str, batch: Batch) -> str:
    return f"{name}/{batch.id}#1"


def _policy(spec: ValidateSpec, name: str) -> Literal["evolve", "reject"]:
    return spec.on_schema_change.get(name, "evolve")


def _check_types(lake: Lake, name: str, one: Audit, batch: Batch, spec: ValidateSpec) -> None:
    """Raise DataError before anything is written if the commit, or that of the quarantine, could not be made."""
    schema = one.schema(batch)
    known = lake.schema(name)
    if known is not None:
        check_schema(name, known, schema, _policy(spec, name))
    held = lake.schema(quarantine_table(name))
    if held is not None and one.found.quarantined:
        try:
            check_schema(quarantine_table(name), held, schema, "evolve")
        except DataError as exc:
            raise DataError(f"{exc}; move that table away, a new one is made") from exc


def _quarantine(lake: Lake, name: str, one: Audit, verdict: DatasetVerdict, batch: Batch, run: str) -> DatasetVerdict:
    if not verdict.quarantined:
        return verdict
    table = quarantine_table(name)
    version, _ = lake.write_once(
        table, one.failing(batch, run), app=f"{table}/{batch.id}/{one.fingerprint}", on_schema_change="evolve"
    )
    return verdict.model_copy(update={"quarantine": DatasetRef(name=table, version=version)})


def _publish(
    lake: Lake, name: str, one: Audit, verdict: DatasetVerdict, batch: Batch, spec: ValidateSpec
) -> DatasetVerdict:
    version, _ = lake.write_once(name, one.good(batch), app=_app(name, batch), on_schema_change=_policy(spec, name))
    return verdict.model_copy(update={"accepted": DatasetRef(name=name, version=version)})


def _accept(lake: Lake, name: str, verdict: DatasetVerdict, batch: Batch, run: str) -> None:
    if verdict.accepted is None or not isinstance(verdict.accepted.version, int):
        raise DataError(f"{name}: batch {batch.id} is accepted, and no version holds it")
    rows = verdict.rows - verdict.quarantined
    BatchLedger(lake, name).accept(
        batch, version=verdict.accepted.version, rows=rows, run_key=run, detail=_detail(verdict)
    )


def _refuse(lake: Lake, name: str, verdict: DatasetVerdict, batch: Batch, run: str) -> None:
    BatchLedger(lake, name).refuse(batch, rows=verdict.rows, run_key=run, detail=_detail(verdict))


def _detail(verdict: DatasetVerdict) -> Json:
    return {"verdict": verdict.model_dump(mode="json", exclude_defaults=True)}


def _accepted(lake: Lake, spec: ValidateSpec) -> dict[str, DatasetVerdict]:
    """Return the verdicts of the datasets to publish whose batch is accepted already."""
    found = {}
    for name in spec.publish:
        for row in BatchLedger(lake, name).accepted():
            if row.batch.id == _batch(spec).id:
                found[name] = _stored(name, row)
    return found


def _stored(name: str, row: BatchRow) -> DatasetVerdict:
    if "verdict" in row.detail:
        return DatasetVerdict.model_validate(row.detail["verdict"])
    # Accepted by something else than this step: all that is known of it is that it is there.
    return DatasetVerdict(
        verdict="pass", rows=row.rows, quarantined=0, accepted=DatasetRef(name=name, version=row.version)
    )
