-- A flight that landed after its day's snapshot is carried to the next one. That a flight was cancelled or never
-- reached its destination is known by the morning after.
{{ config(materialized='view') }}
select
    flight_id,
    flight_date,
    carrier,
    origin,
    dest,
    sched_hour,
    cancelled,
    arr_delay > 15 as is_late,
    landed_at,
    coalesce({{ first_snapshot_day('landed_at') }}, flight_date + 1) as known_on
from {{ source('lake', 'arrivals') }}
where flight_date >= {{ batch_start_day() }} - 35 and flight_date < {{ batch_end_day() }}
