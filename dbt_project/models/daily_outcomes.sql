-- What happened, counted by the day in whose snapshot it is known first. Only the last 35 days are read: the longest
-- window is 28, and no flight was a week late.
select
    known_on,
    carrier,
    origin,
    dest,
    sched_hour,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    count(is_late) as arrived,
    count(*) filter (where is_late) as late
from {{ ref('known_outcomes') }}
group by all
