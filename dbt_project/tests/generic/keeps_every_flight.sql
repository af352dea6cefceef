{# Flights of the batch that a join lost. #}
{% test keeps_every_flight(model) %}
    select flight_id
    from {{ source('lake', 'flights') }}
    where _batch = '{{ var("batch_id") }}'
    except all
    select flight_id from {{ model }}
{% endtest %}
