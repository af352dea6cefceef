with counts as ({{ window_counts(['origin', 'sched_hour']) }})

select
    k.origin,
    k.sched_hour,
    {{ snapshot_at('k.day') }} as available_at,
    {{ smoothed('late', 'arrived', 28) }} as origin_hour_late_28d
from counts as k
inner join {{ ref('overall_counts') }} as o on k.day = o.day
order by k.day, k.origin, k.sched_hour
