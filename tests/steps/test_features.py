"""The point-in-time join: nothing later than its event, nothing older than its ttl, every row once."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.materialize import FeatureDefinitions, FeatureService, FeatureView
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.features import export_definitions, load_service, pin_versions, point_in_time
from airflow_mlops_provider.steps.lake import Lake

T0 = datetime(2013, 4, 1, tzinfo=UTC)
RATES = FeatureView(
    name="rates",
    table="rates",
    join_keys=("carrier",),
    timestamp="known_at",
    features=("late", "seen"),
    ttl=timedelta(hours=6),
)
SERVICE = FeatureService(name="s", views=(RATES,))
TABLE = pa.schema(
    [
        ("carrier", pa.string()),
        ("known_at", pa.timestamp("us", tz="UTC")),
        ("late", pa.float64()),
        ("seen", pa.timestamp("us", tz="UTC")),
        ("_batch", pa.string()),
    ]
)
EVENTS = pa.schema([("id", pa.int64()), ("carrier", pa.string()), ("at", pa.timestamp("us", tz="UTC"))])


def hours(number: float) -> datetime:
    return T0 + timedelta(hours=number)


def write(lake: Lake, rows: list[tuple], app: str = "a", schema: pa.Schema = TABLE, table: str = "rates") -> int:
    data = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    return lake.write_once(table, data, app=app)[0]


def rate(carrier: str | None, at: datetime | None, late: float | None, batch: str = "1") -> tuple:
    return (carrier, at, late, at, batch)


def join(lake: Lake, events: list[tuple], service: FeatureService = SERVICE, **options: object) -> dict[int, tuple]:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'America/New_York'")
        rows = [dict(zip(EVENTS.names, event, strict=True)) for event in events]
        con.register("events", pa.Table.from_pylist(rows, schema=EVENTS))
        name = point_in_time(con, "events", service, lake, event_timestamp="at", **options)
        table = con.execute(f'select * from "{name}"').to_arrow_table()
    assert table.column_names[:3] == EVENTS.names
    assert sorted(table.column("id").to_pylist()) == sorted(event[0] for event in events)
    return {row["id"]: row for row in table.to_pylist()}


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def test_newest_row_at_or_before_the_event_and_within_ttl(lake):
    write(lake, [rate("AA", hours(0), 0.1), rate("AA", hours(2), 0.2), rate("UA", hours(0), 0.9)])
    events = [
        (1, "AA", hours(-1)),
        (2, "AA", hours(0)),
        (3, "AA", hours(1.9)),
        (4, "AA", hours(2)),
        (5, "AA", hours(8)),
        (6, "AA", hours(8) + timedelta(microseconds=1)),
        (7, "ZZ", hours(2)),
        (8, None, hours(2)),
        (9, "AA", None),
        (10, "AA", hours(0) - timedelta(microseconds=1)),
    ]
    late = {number: row["late"] for number, row in join(lake, events).items()}
    assert late == {1: None, 2: 0.1, 3: 0.1, 4: 0.2, 5: 0.2, 6: None, 7: None, 8: None, 9: None, 10: None}


def test_without_ttl_a_row_never_expires(lake):
    write(lake, [rate("AA", hours(0), 0.1)])
    service = FeatureService(name="s", views=(RATES.model_copy(update={"ttl": None}),))
    assert join(lake, [(1, "AA", hours(10_000))], service)[1]["late"] == 0.1


def test_rows_of_one_moment_do_not_fan_out_and_the_newest_batch_counts(lake):
    write(lake, [rate("AA", hours(0), 0.9, "2013-03"), rate("AA", hours(0), 0.2, "2013-04")], "a")
    write(lake, [rate("AA", hours(0), 0.5, "2013-02"), rate("AA", hours(0), None, "2013-01")], "b")
    found = [join(lake, [(1, "AA", hours(1)), (2, "AA", hours(1))]) for _ in range(3)]
    assert [{n: row["late"] for n, row in one.items()} for one in found] == [{1: 0.2, 2: 0.2}] * 3


def test_a_null_in_the_newest_row_stays_null(lake):
    write(lake, [rate("AA", hours(0), 0.1), rate("AA", hours(1), None)])
    assert join(lake, [(1, "AA", hours(2))])[1]["late"] is None


def test_rows_without_key_or_time_are_passed_over(lake):
    write(lake, [rate(None, hours(0), 0.1), rate("AA", None, 0.2)])
    assert [row["late"] for row in join(lake, [(1, "AA", hours(2)), (2, None, hours(2))]).values()] == [None, None]


def test_versions_are_read_as_pinned_also_twice_in_one_connection(lake):
    first = write(lake, [rate("AA", hours(0), 0.1)], "a")
    assert pin_versions(lake, SERVICE) == {"rates": first}
    second = write(lake, [rate("AA", hours(1), 0.2)], "b")
    with duckdb.connect() as con:
        con.execute("create table a as select 'AA' as carrier, timestamptz '2013-04-01 03:00:00+00' as at")
        con.execute("create table b as from a")
        names = [
            point_in_time(con, entities, SERVICE, lake, event_timestamp="at", versions={"rates": version})
            for entities, version in (("a", first), ("b", second))
        ]
        late = [con.execute(f'select late from "{name}"').fetchone()[0] for name in names]
    assert late == [0.1, 0.2]


def test_times_without_a_zone_are_utc(lake):
    write(lake, [rate("AA", hours(0), 0.1)])
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'America/New_York'")
        con.execute("create table e as select 'AA' as carrier, timestamp '2013-03-31 23:59:59' as at")
        con.execute("insert into e values ('AA', timestamp '2013-04-01 00:00:00')")
        name = point_in_time(con, "e", SERVICE, lake, event_timestamp="at")
        assert con.execute(f'select late from "{name}" order by "at"').fetchall() == [(None,), (0.1,)]


def test_two_views_over_two_keys(lake):
    schema = pa.schema([("origin", pa.string()), ("hour", pa.int64()), *list(TABLE)[1:3]])
    write(lake, [rate("AA", hours(0), 0.1)])
    write(lake, [("JFK", 7, hours(0), 0.7), ("JFK", 8, hours(0), 0.8)], schema=schema, table="busy")
    busy = FeatureView(
        name="busy", table="busy", join_keys=("origin", "hour"), timestamp="known_at", features=("late",)
    )
    service = FeatureService(name="s", views=(RATES, busy))
    with duckdb.connect() as con:
        con.execute("create table e as select 'AA' as carrier, 'JFK' as origin, 8 as hour, now() as at")
        with pytest.raises(ConfigError, match="more than one column late"):
            point_in_time(con, "e", service, lake, event_timestamp="at")
        name = point_in_time(con, "e", service, lake, event_timestamp="at", full_names=True)
        found = con.execute(f'select rates__late, busy__late from "{name}"').fetchall()
    assert found == [(None, 0.8)]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"features": ("late", "AT")}, ConfigError, "more than one column AT, at"),
        ({"features": ("early",)}, DataError, r"table of feature view 'rates', has no column early; it has carrier"),
        ({"join_keys": ("tail",)}, DataError, "events has no column tail; it has id, carrier, at"),
        ({"table": "gone"}, DataError, "no table 'gone'"),
        ({"timestamp": "late"}, DataError, "is DOUBLE, not a timestamp"),
    ],
)
def test_what_cannot_be_joined_is_named(lake, change, error, text):
    write(lake, [rate("AA", hours(0), 0.1)])
    service = FeatureService(name="s", views=(RATES.model_copy(update=change),))
    with pytest.raises(error, match=text):
        join(lake, [(1, "AA", hours(1))], service)


def test_a_service_without_views_is_refused(lake):
    with pytest.raises(ConfigError, match="'s' has no feature view"):
        join(lake, [(1, "AA", hours(1))], FeatureService(name="s", views=()))


moments = st.integers(0, 40).map(lambda quarter: T0 + timedelta(minutes=15 * quarter))
carriers = st.sampled_from(["AA", "UA"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(carriers, moments, st.sampled_from("123")), min_size=1, max_size=25),
    events=st.lists(st.tuples(carriers, moments), min_size=1, max_size=10),
    ttl=st.sampled_from([timedelta(minutes=30), timedelta(hours=3), None]),
)
def test_agrees_with_the_definition_and_never_sees_the_future(tmp_path_factory, rows, events, ttl):
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    written = [rate(c, at, float(n), batch) for n, (c, at, batch) in enumerate(rows)]
    write(lake, written)
    service = FeatureService(name="s", views=(RATES.model_copy(update={"ttl": ttl}),))
    asked = [(n, carrier, at) for n, (carrier, at) in enumerate(events)]
    for number, row in join(lake, asked, service).items():
        carrier, at = events[number]
        seen = [w for w in written if w[0] == carrier and w[1] <= at and (ttl is None or at - w[1] <= ttl)]
        best = max(seen, key=lambda w: (w[1], w[4], w[2]), default=(None,) * 5)
        newest = max((w[1] for w in written if w[0] == carrier and w[1] <= at), default=None)
        assert (row["late"], row["seen"]) == (best[2], best[3])
        assert row["seen"] is None or (row["seen"] <= at and row["seen"] == newest)


def defined(project: str, *services: FeatureService, digest: str = "d") -> FeatureDefinitions:
    return FeatureDefinitions(project=project, digest=digest, views=(RATES,), services=services)


def test_service_is_read_as_last_exported(lake):
    assert export_definitions(lake, defined("p", SERVICE))
    assert not export_definitions(lake, defined("p", SERVICE))
    changed = SERVICE.model_copy(update={"views": (RATES.model_copy(update={"ttl": None}),)})
    for service in (changed, SERVICE, changed):  # back and forth: each is written, the last one counts
        assert export_definitions(lake, defined("p", service))
        assert load_service(lake, "s") == service


@pytest.fixture
def s3(tmp_path):
    """A lake on S3. The store is a process of its own: deltalake holds the interpreter's lock while it asks."""
    import botocore.session
    from botocore.exceptions import EndpointConnectionError

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        names = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        client = botocore.session.get_session().create_client("s3", endpoint_url=url, **names)
        for _ in range(100):
            try:
                client.create_bucket(Bucket="lake")
                break
            except EndpointConnectionError:
                time.sleep(0.2)
        fields = {"login": "a", "password": "b", "extra": {"endpoint_url": url, "region_name": "us-east-1"}}
        yield Lake("s3://lake/root", fields)
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_service_and_join_on_s3(s3):
    first = write(s3, [rate("AA", hours(0), 0.1)], "a")
    write(s3, [rate("AA", hours(1), 0.2)], "b")
    export_definitions(s3, defined("p", SERVICE))
    service = load_service(s3, "s")
    found = join(s3, [(1, "AA", hours(2)), (2, "AA", hours(9))], service)
    assert (found[1]["late"], found[2]["late"]) == (0.2, None)
    assert join(s3, [(1, "AA", hours(2))], service, versions={"rates": first})[1]["late"] == 0.1


def test_unknown_service_names_the_known_ones(lake):
    with pytest.raises(ConfigError, match=r"no feature service 'x'; known: none\. Materialize exports"):
        load_service(lake, "x")
    export_definitions(lake, defined("p", SERVICE, SERVICE.model_copy(update={"name": "a"})))
    with pytest.raises(ConfigError, match="known: a, s"):
        load_service(lake, "x")


def test_two_projects_cannot_define_one_service(lake):
    export_definitions(lake, defined("p", SERVICE))
    with pytest.raises(ConfigError, match="feature service s is defined by Feast project 'p' too"):
        export_definitions(lake, defined("q", SERVICE))
