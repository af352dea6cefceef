with counts as ({{ window_counts(['carrier']) }})

select
    k.carrier,
    {{ snapshot_at('k.day') }} as available_at,
    {{ smoothed('late', 'arrived', 7) }} as carrier_late_7d,
    {{ smoothed('late', 'arrived', 28) }} as carrier_late_28d,
    {{ smoothed('cancelled', 'flights', 7) }} as carrier_cancel_7d
from counts as k
inner join {{ ref('overall_counts') }} as o on k.day = o.day
order by k.day, k.carrier
