"""Read the online store back through Feast itself and compare it with the lake."""

import os

import duckdb

from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.lake import Lake
from include.demo.services import HOME, ROOT

FEATURES = ("carrier_late_7d", "carrier_late_28d", "carrier_cancel_7d")
NEWEST = f"""
    select carrier, {", ".join(FEATURES)} from carrier_delay where available_at <= $1
    qualify row_number() over (partition by carrier order by available_at desc) = 1 order by carrier"""


def online_store_equals_lake():
    """Return how many carriers were compared; end the demo where one differs."""
    os.environ["MLOPS_LAKE"] = str(HOME / "lake")
    from feast import FeatureStore

    lake = Lake(str(HOME / "lake"))
    # A snapshot that is known only after the last batch's end waits for the next batch.
    end = BatchLedger(lake, "carrier_delay").accepted()[-1].batch.end
    with duckdb.connect() as con:
        lake.view(con, "carrier_delay", "carrier_delay")
        rows = con.execute(NEWEST, [end]).fetchall()
    store = FeatureStore(repo_path=str(ROOT / "include" / "features"))
    names = [f"carrier_delay:{feature}" for feature in FEATURES]
    online = store.get_online_features(names, [{"carrier": row[0]} for row in rows]).to_dict()
    for position, (carrier, *values) in enumerate(rows):
        read = [online[feature][position] for feature in FEATURES]
        if read != values:
            raise SystemExit(f"online store: carrier {carrier} has {read}, the lake has {values}")
    return len(rows)
