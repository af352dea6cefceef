-- An observation is known an hour later. The day before the batch is read for the first hours' precip_6h.
with observed as (
    select
        *,
        timezone('{{ var("timezone") }}', time_hour)::date as local_day,
        sum(precip) over (
            partition by origin order by time_hour range between interval 5 hour preceding and current row
        ) as precip_6h
    from {{ source('lake', 'weather') }}
    where
        time_hour >= timezone('{{ var("timezone") }}', {{ batch_start_day() }} - interval 1 day)
        and time_hour < timezone('{{ var("timezone") }}', {{ batch_end_day() }}::timestamp)
)

select
    origin,
    time_hour + interval 1 hour as available_at,
    temp,
    dewp,
    humid,
    wind_speed,
    wind_gust,
    precip,
    precip_6h,
    pressure,
    visib
from observed
where local_day >= {{ batch_start_day() }}
order by available_at, origin
