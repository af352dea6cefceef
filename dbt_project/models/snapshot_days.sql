-- Each day of the batch gives the snapshot of the morning after it: so the next batch's first day finds one, and a
-- snapshot belongs to one batch alone.
{{ config(materialized='view') }}
select unnest(generate_series({{ batch_start_day() }} + 1, {{ batch_end_day() }}, interval 1 day))::date as day
