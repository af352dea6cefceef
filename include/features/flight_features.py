"""What is known of a flight before it leaves: late rates of earlier days, and the weather an hour ago."""

from __future__ import annotations

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String

from airflow_mlops_provider.steps.feast_store import LakeSource

# A rate is written every day. One week's worth is worthless after three days without a row.
WEEK_TTL = timedelta(days=3)
# Four weeks' worth changes slowly, and some routes fly once a week: it outlives a month whose batch was refused
# (31 days) and the week until the next flight, so it is never null for age alone.
MONTH_TTL = timedelta(days=40)
# A station reports every hour, and misses a few.
WEATHER_TTL = timedelta(hours=4)

carrier = Entity(name="carrier", value_type=ValueType.STRING, description="airline, two letters")
origin = Entity(name="origin", value_type=ValueType.STRING, description="airport of departure")
dest = Entity(name="dest", value_type=ValueType.STRING, description="airport of arrival")
sched_hour = Entity(name="sched_hour", value_type=ValueType.INT64, description="local hour of departure, 0 to 23")

CARRIER = Field(name="carrier", dtype=String)
ORIGIN = Field(name="origin", dtype=String)
DEST = Field(name="dest", dtype=String)
SCHED_HOUR = Field(name="sched_hour", dtype=Int64)


def _numbers(*names: str) -> list[Field]:
    return [Field(name=name, dtype=Float64) for name in names]


carrier_delay = FeatureView(
    name="carrier_delay",
    entities=[carrier],
    ttl=WEEK_TTL,
    schema=[CARRIER, *_numbers("carrier_late_7d", "carrier_late_28d", "carrier_cancel_7d")],
    source=LakeSource(table="carrier_delay", timestamp_field="available_at"),
)

origin_delay = FeatureView(
    name="origin_delay",
    entities=[origin],
    ttl=WEEK_TTL,
    schema=[ORIGIN, *_numbers("origin_late_7d")],
    source=LakeSource(table="origin_delay", timestamp_field="available_at"),
)

route_delay = FeatureView(
    name="route_delay",
    entities=[origin, dest],
    ttl=MONTH_TTL,
    schema=[ORIGIN, DEST, *_numbers("route_late_28d")],
    source=LakeSource(table="route_delay", timestamp_field="available_at"),
)

origin_hour_delay = FeatureView(
    name="origin_hour_delay",
    entities=[origin, sched_hour],
    ttl=MONTH_TTL,
    schema=[ORIGIN, SCHED_HOUR, *_numbers("origin_hour_late_28d")],
    source=LakeSource(table="origin_hour_delay", timestamp_field="available_at"),
)

origin_weather = FeatureView(
    name="origin_weather",
    entities=[origin],
    ttl=WEATHER_TTL,
    schema=[
        ORIGIN,
        *_numbers("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "precip_6h", "pressure", "visib"),
    ],
    source=LakeSource(table="origin_weather", timestamp_field="available_at"),
)

flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[carrier_delay, origin_delay, route_delay, origin_hour_delay, origin_weather],
)
