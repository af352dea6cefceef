-- One row a flight of the batch, cancelled ones too: what is known of it when it is scheduled. Numbers are doubles, for
-- a model's input has one type whether or not a value is missing. No tail number (null: cancelled) and no date.
with flights as (
    select *, count(*) over (partition by origin, flight_date, sched_hour) as sched_flights
    from {{ source('lake', 'flights') }}
    where _batch = '{{ var("batch_id") }}'
),

calendar as (
    -- Days to the nearest holiday, before or after it; beyond a week they no longer count.
    select
        flight_date,
        least(7, min(abs(flight_date - holiday))) as holiday_distance
    from (select distinct flight_date from flights), {{ ref('holidays') }}
    group by flight_date
)

select
    flights.flight_id,
    flights.scheduled_at,
    flights.carrier,
    flights.origin,
    flights.dest,
    flights.sched_hour,
    flights.sched_min::double as sched_min,
    isodow(flights.flight_date)::double as dow,
    calendar.holiday_distance::double as holiday_distance,
    flights.sched_flights::double as sched_flights,
    flights.distance::double as distance,
    (year(flights.flight_date) - planes.year)::double as plane_age,
    planes.seats::double as seats
from flights
left join {{ source('lake', 'planes') }} as planes on flights.tailnum = planes.tailnum
inner join calendar on flights.flight_date = calendar.flight_date
order by flights.scheduled_at, flights.flight_id
