-- The batch's flights that have an outcome: more than 15 minutes late, or not.
select
    flights.*,
    outcomes.is_late
from {{ ref('flights_to_score') }} as flights
inner join {{ ref('known_outcomes') }} as outcomes on flights.flight_id = outcomes.flight_id
where outcomes.is_late is not null
order by flights.scheduled_at, flights.flight_id
