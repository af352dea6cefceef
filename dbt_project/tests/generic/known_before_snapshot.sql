{# Outcomes that a snapshot counts although the flight had not landed when the snapshot says to be taken. #}
{% test known_before_snapshot(model) %}
    select flight_id, landed_at, known_on
    from {{ model }}
    where landed_at >= {{ snapshot_at('known_on') }}
{% endtest %}
