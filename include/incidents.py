"""What can happen to April: the environment variable INCIDENT names one of these; the other months stay as they are."""

import os
from dataclasses import dataclass

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["INCIDENTS", "Incident", "incident"]


@dataclass(frozen=True)
class Incident:
    """`raw`: of the rows of a `file` those that the datasets `spoils` are made of, April's spoiled.

    `refused`: whether the suites keep the batch out; where they do not, monitoring has to tell.
    """

    text: str
    spoils: tuple[str, ...]
    raw: str
    refused: bool


def _replaced(**columns):
    """Select all rows with new values of `columns` in April."""
    changed = ", ".join(
        f"case when month = 4 then {value} else {name} end as {name}" for name, value in columns.items()
    )
    return f"select * replace ({changed}) from file"


def _celsius(*columns):
    return _replaced(**{column: f"({column} - 32) / 1.8" for column in columns})


def _without(share, key, *columns):
    lost = f"hash({key}) % 1000 < {round(share * 1000)}"
    return _replaced(**{column: f"case when {lost} then null else {column} end" for column in columns})


_READINGS = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
_FLIGHT = "month, day, carrier, flight, origin"
_BOTH = ("flights", "arrivals")

INCIDENTS = {
    "temperature": Incident("temperatures come in Celsius", ("weather",), _celsius("temp"), refused=True),
    "celsius": Incident(
        "temperatures and dew points come in Celsius", ("weather",), _celsius("temp", "dewp"), refused=True
    ),
    "carrier": Incident(
        "United's flights come under a code that nobody knows",
        _BOTH,
        _replaced(carrier="case carrier when 'UA' then 'XX' else carrier end"),
        refused=True,
    ),
    "merged": Incident(
        "AirTran's flights come under Southwest's code",
        _BOTH,
        _replaced(carrier="case carrier when 'FL' then 'WN' else carrier end"),
        refused=False,
    ),
    "nulls": Incident(
        "three of ten weather readings are empty",
        ("weather",),
        _without(0.3, "time_hour, origin", *_READINGS),
        refused=True,
    ),
    "distance": Incident(
        "three of ten flights have no distance", ("flights",), _without(0.3, _FLIGHT, "distance"), refused=True
    ),
    "twice": Incident(
        "the schedule comes twice",
        ("flights",),
        "select * from file union all select * from file where month = 4",
        refused=True,
    ),
    "empty": Incident("the schedule is empty", ("flights",), "select * from file where month <> 4", refused=True),
    "labels": Incident(
        "each outcome carries the id of another flight of the same day",
        ("arrivals",),
        "select * from file",
        refused=False,
    ),
}


def incident():
    """Return the name of the incident that INCIDENT asks for, or None. Raises ConfigError for an unknown one."""
    found = os.environ.get("INCIDENT") or None
    if found is not None and found not in INCIDENTS:
        raise ConfigError(f"INCIDENT={found!r} is not known: give one of {', '.join(INCIDENTS)}, or none")
    return found
