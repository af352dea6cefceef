with counts as ({{ window_counts(['origin', 'dest']) }})

select
    k.origin,
    k.dest,
    {{ snapshot_at('k.day') }} as available_at,
    {{ smoothed('late', 'arrived', 28) }} as route_late_28d
from counts as k
inner join {{ ref('overall_counts') }} as o on k.day = o.day
order by k.day, k.origin, k.dest
