{# Rows whose `key` is not unique or has a null. #}
{% test unique_key(model, key) %}
    select {{ key | join(', ') }}
    from {{ model }}
    group by all
    having count(*) > 1 {% for column in key %}or {{ column }} is null {% endfor %}
{% endtest %}
