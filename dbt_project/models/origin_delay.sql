with counts as ({{ window_counts(['origin']) }})

select
    k.origin,
    {{ snapshot_at('k.day') }} as available_at,
    {{ smoothed('late', 'arrived', 7) }} as origin_late_7d
from counts as k
inner join {{ ref('overall_counts') }} as o on k.day = o.day
order by k.day, k.origin
