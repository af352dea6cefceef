{# The batch's local days are [batch_start_day, batch_end_day); its snapshots are those of the mornings after them. #}

{% macro batch_start_day() %}date '{{ var("batch_start")[:10] }}'{% endmacro %}

{% macro batch_end_day() %}date '{{ var("batch_end")[:10] }}'{% endmacro %}

{# The moment at which the snapshot of a local day is taken and known. #}
{% macro snapshot_at(day) -%}
    timezone('{{ var("timezone") }}', {{ day }} + interval {{ var("snapshot_hour") }} hour)
{%- endmacro %}

{# The local day in whose snapshot an event at `moment` counts first: it must lie before the snapshot's hour. #}
{% macro first_snapshot_day(moment) -%}
    (timezone('{{ var("timezone") }}', {{ moment }}) - interval {{ var("snapshot_hour") }} hour)::date + 1
{%- endmacro %}
