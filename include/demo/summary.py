"""One row a month, from the ledgers alone: what came in, what was measured, what was decided."""

import json
from collections import Counter

from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.promotions import PromotionLedger
from include.incidents import INCIDENTS

PIPELINE, MODEL = "flights", "flight_delay"
CHECKED = ("flights", "weather", "arrivals")
FEATURES = ("carrier_delay", "origin_delay", "route_delay", "origin_hour_delay", "origin_weather")


def monthly_rows(lake, batches):
    """Return the summary's `months`: a month's row is about its flights and what was decided from its outcomes."""
    monitoring = Monitoring(lake, PIPELINE)
    lines = {kind: monitoring.lines(kind) for kind in ("drift", "performance", "training", "rollback")}
    decisions = {d.batch: d for d in DecisionLedger(lake, PIPELINE).decisions()}
    promotions = PromotionLedger(lake, MODEL).history()
    rejected = {table: _quarantined(lake, table) for table in CHECKED}
    accepted = {table: _rows(lake, table) for table in FEATURES}
    ledgers = {table: {row.batch.id: row for row in BatchLedger(lake, table).rows()} for table in CHECKED}
    ledger = ledgers["flights"]
    return [
        {
            "month": batch[:7],
            "rows_in": ledger[batch].rows
            + len(rejected["flights"].get(batch, ())) * (ledger[batch].status == "accepted")
            if batch in ledger
            else 0,
            **_quarantine(rejected, batch),
            "feature_rows": sum(rows.get(batch, 0) for rows in accepted.values()),
            **_drift(lines["drift"].get(batch)),
            **_performance(lines["performance"].get(batch)),
            **_decision(ledgers, decisions.get(batch), batch),
            **_training(lines["training"].get(batch), promotions, batch),
            "rolled_back": lines["rollback"][batch]["version"] if batch in lines["rollback"] else None,
        }
        for batch in batches
    ]


def _quarantined(lake, table):
    """Return the reasons of each quarantined row by batch."""
    rows = lake.read(f"quarantine/{table}")
    found = {}
    if rows.num_rows:
        for batch, reasons in zip(rows["_batch"].to_pylist(), rows["_reasons"].to_pylist(), strict=True):
            found.setdefault(batch, []).append(reasons)
    return found


def _rows(lake, table):
    if lake.version(table) is None:
        return {}
    counted = lake.read(table)["_batch"].value_counts()
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _quarantine(rejected, batch):
    reasons = Counter(
        f"{table}: {reason}" for table, rows in rejected.items() for row in rows.get(batch, ()) for reason in row
    )
    return {
        "rows_quarantined": sum(len(rows.get(batch, ())) for rows in rejected.values()),
        "quarantine_reasons": dict(reasons.most_common()),
    }


def _drift(line):
    if line is None:
        return {"drifted_columns": None, "max_effect": None, "max_effect_column": None}
    record = line["record"]
    return {
        "drifted_columns": len(record["drifted"]),
        "max_effect": record["max_effect"],
        "max_effect_column": record["max_column"],
    }


def _performance(line):
    record = line["record"] if line else {"version": None, "metrics": {}}
    metrics = record["metrics"]
    return {"champion_version": record["version"]} | {
        name: metrics[name]["value"] if name in metrics else None for name in ("roc_auc", "log_loss", "calibration_gap")
    }


def _decision(ledgers, decision, batch):
    if decision is not None:
        return {"decision": decision.decision, "decision_reason": decision.reason}
    verdicts = {t: rows[batch].detail.get("verdict", {}) for t, rows in ledgers.items() if batch in rows}
    refused = [f"{t}: {'; '.join(v['refused_because'])}" for t, v in verdicts.items() if v.get("refused_because")]
    return {
        "decision": "none",
        "decision_reason": f"the batch was refused: {' | '.join(refused) or 'see the data run'}",
    }


def _training(line, promotions, batch):
    if line is None:
        return {"trained_version": None, "promoted": False, "promotion_reason": None}
    promoted = any(p.kind == "promote" and p.batch == batch and p.version == line["version"] for p in promotions)
    return {
        "trained_version": line["version"],
        "promoted": promoted,
        "promotion_reason": line["record"]["reason"],
    }


def as_table(months):
    """Return the summary as a Markdown table and the reasons below it."""
    head = ("month", "rows", "quarantined", "features", "drifted", "largest", "champion", "AUC", "log loss", "gap")
    head += ("decision", "trained", "promoted", "rolled back")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in months]
    reasons = []
    for row in months:
        reasons.append(f"- **{row['month']}** {row['decision']}: {row['decision_reason']}")
        if row["trained_version"]:
            verb = "promoted" if row["promoted"] else "refused"
            reasons.append(f"    - version {row['trained_version']} {verb}: {row['promotion_reason']}")
        if row["rolled_back"]:
            reasons.append(f"    - version {row['rolled_back']} was rolled back")
        reasons += [f"    - quarantined {count:,}: {reason}" for reason, count in row["quarantine_reasons"].items()]
    return "\n".join(lines) + "\n\n" + "\n".join(reasons) + "\n"


def _cells(row):
    def figure(name, form):
        return "" if row[name] is None else format(row[name], form)

    effect = "" if row["max_effect"] is None else f"{row['max_effect_column']} {row['max_effect']:.2f}"
    return (
        row["month"],
        f"{row['rows_in']:,}",
        f"{row['rows_quarantined']:,}",
        f"{row['feature_rows']:,}",
        figure("drifted_columns", "d"),
        effect,
        figure("champion_version", ""),
        figure("roc_auc", ".3f"),
        figure("log_loss", ".3f"),
        figure("calibration_gap", "+.3f"),
        row["decision"],
        figure("trained_version", ""),
        "yes" if row["promoted"] else "",
        figure("rolled_back", ""),
    )


def what_became(incident, months):
    """Say what became of an injected incident, as the ledgers tell it; nothing is tuned to make it come out."""
    april = next((row for row in months if row["month"].endswith("-04")), None)
    if not incident or april is None:
        return ""
    happened, said = INCIDENTS[incident], f"INCIDENT={incident}: {INCIDENTS[incident].text}. "
    if happened.refused:
        return f"{said}{april['decision_reason']}.\n"
    seen = f"No check refused it; {april['drifted_columns'] or 0} columns drifted; {april['decision']}"
    if not april["promoted"]:
        why = april["promotion_reason"] or april["decision_reason"]
        return f"{said}{seen}: nothing was promoted on it ({why}), so there is nothing to roll back.\n"
    back = next((row for row in months if row["rolled_back"] == april["trained_version"]), None)
    after = f"rolled back in {back['month']}" if back else "its shadow did not roll it back"
    return f"{said}{seen}: version {april['trained_version']} was promoted, and {after}.\n"


def write(home, months, runs, incident=""):
    """Write `.demo/summary.json` and `.demo/summary.md`; return the Markdown."""
    (home / "summary.json").write_text(json.dumps({"months": months, "runs": runs}, indent=1))
    text = "\n".join(filter(None, [as_table(months), what_became(incident, months)]))
    (home / "summary.md").write_text(text)
    return text
