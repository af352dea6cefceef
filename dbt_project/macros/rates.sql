{# Counts over the 7 and 28 snapshots up to each of the batch's, by `keys`; none: overall. #}
{% macro window_counts(keys=[]) %}
    select
        day
        {%- for key in keys %}, {{ key }}{% endfor %}
        {%- for days in [7, 28] %}
        {%- for count in ['flights', 'cancelled', 'arrived', 'late'] %},
        coalesce(sum({{ count }}) filter (where known_on > day - {{ days }}), 0) as {{ count }}_{{ days }}d
        {%- endfor %}
        {%- endfor %}
    from {{ ref('snapshot_days') }} as days
    inner join {{ ref('daily_outcomes') }} as outcomes
        on outcomes.known_on > days.day - 28 and outcomes.known_on <= days.day
    group by all
{% endmacro %}

{# Share of `hits` in `trials` of the same window, drawn to the overall share by var('smoothing') flights of it.
   Null before anything is known. #}
{% macro smoothed(hits, trials, days) -%}
    (k.{{ hits }}_{{ days }}d + {{ var('smoothing') }} * o.{{ hits }}_{{ days }}d / nullif(o.{{ trials }}_{{ days }}d, 0))
    / (k.{{ trials }}_{{ days }}d + {{ var('smoothing') }})
{%- endmacro %}
