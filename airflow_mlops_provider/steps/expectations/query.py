"""`unexpected_rows_expectation`: a closed grammar of SQL conditions, compiled to Ibis and never executed as text.

    SELECT * FROM {batch} WHERE condition

A condition is built of columns, literals, comparisons, AND, OR, NOT, IS NULL, BETWEEN, LIKE, IN (literals),
arithmetic (in doubles), ABS, EXP, LN, ROUND, COALESCE, and `column [NOT] IN (SELECT column FROM table)` for keys
of another lake table. Null is as in SQL. A division by zero, a logarithm of what is not positive and NaN are null.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, StrictStr

from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.steps.expectations.base import Inapplicable, RowExpectation
from airflow_mlops_provider.steps.expectations.values import as_kind, comparable, kind, numeric, text

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from sqlglot import exp

__all__ = ["UnexpectedRows"]

_BATCH = "the_batch_that_is_validated"
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_LONGEST = 4_000
_FORM = "write SELECT * FROM {batch} WHERE condition"


@lru_cache(maxsize=256)
def parse(query: str) -> exp.Expression:
    """Return the condition of `query`. Raises ValueError on anything outside the grammar.

    It is asked for several times and read only, so that it is kept.
    """
    try:
        import sqlglot
        from sqlglot import exp
    except ImportError:
        raise MissingExtraError("sqlglot", "lake") from None
    if len(query) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")
    if _BATCH in query or query.count("{batch}") != 1:
        raise ValueError(f"{{batch}} stands exactly once: {_FORM}")
    try:
        statements = sqlglot.parse(query.replace("{batch}", _BATCH))
    except sqlglot.errors.SqlglotError as exc:
        raise ValueError(f"not SQL: {str(exc).splitlines()[0]}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    found = statements[0] if len(statements) == 1 else None
    if not isinstance(found, exp.Select) or not _is_plain(found, _BATCH) or found.args.get("where") is None:
        raise ValueError(f"not of the known form: {_FORM}")
    if not (
        len(found.expressions) == 1 and type(found.expressions[0]) is exp.Star and not _given(found.expressions[0])
    ):
        raise ValueError(f"only * can be selected: {_FORM}")
    condition: exp.Expression = found.args["where"].this
    try:
        _check(condition)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return condition


def _given(node: exp.Expression) -> set[str]:
    return {key for key, value in node.args.items() if value not in (None, False, [])}


def _is_plain(select: exp.Expression | None, table: str | None = None) -> bool:
    """Return whether a SELECT has no other clause than FROM one bare table, and WHERE where it is the outer one."""
    from sqlglot import exp

    if type(select) is not exp.Select:
        return False
    source = select.args.get("from_")
    if not isinstance(source, exp.From) or _given(source) != {"this"}:
        return False
    bare = type(source.this) is exp.Table and _given(source.this) == {"this"}
    known = {"expressions", "from_"} | ({"where"} if table else set())
    return bool(_given(select) <= known and bare and (table is None or source.this.name == table))


def _check(node: exp.Expression) -> None:
    """Raise ValueError unless the node and everything in it are of the grammar."""
    from sqlglot import exp

    name = type(node).__name__.lower()
    if type(node) not in _compilers():
        raise ValueError(f"{name} is not known here: {node.sql()[:80]!r}")
    rules: dict[type, Callable[[exp.Expression], None]] = {
        exp.Column: _check_column,
        exp.In: _check_in,
        exp.Is: lambda n: _require(type(n.expression) is exp.Null, n, "IS goes with NULL only"),
        exp.Like: lambda n: _require(_is_text(n.expression), n, "LIKE goes with a literal"),
        exp.Round: lambda n: _require(_is_whole(n.args.get("decimals")), n, "ROUND goes with a number of places"),
    }
    if type(node) in rules:
        rules[type(node)](node)
    if type(node) in (exp.Column, exp.In, exp.Literal, exp.Boolean):
        return
    _require(_given(node) <= _ARGS, node, f"{name} with {', '.join(sorted(_given(node) - _ARGS))} is not known here")
    for child in node.iter_expressions():
        if type(child) is not exp.Null:
            _check(child)


_ARGS = {"this", "expression", "expressions", "low", "high", "decimals"}


def _require(holds: bool, node: exp.Expression, words: str) -> None:
    if not holds:
        raise ValueError(f"{words}: {node.sql()[:80]!r}")


def _check_column(node: exp.Expression) -> None:
    from sqlglot import exp

    plain = _given(node) == {"this"} and type(node.this) is exp.Identifier
    _require(plain, node, "write a column by its name alone")


def _is_text(node: exp.Expression) -> bool:
    from sqlglot import exp

    return type(node) is exp.Literal and node.is_string


def _is_whole(node: exp.Expression | None) -> bool:
    from sqlglot import exp

    return node is None or (type(node) is exp.Literal and node.is_int)


def _check_in(node: exp.Expression) -> None:
    from sqlglot import exp

    _require(type(node.this) is exp.Column, node, "IN goes with a column")
    _check_column(node.this)
    if _given(node) == {"this", "expressions"}:
        literals = all(type(v) is exp.Literal for v in node.expressions)
        _require(literals, node, "IN goes with literals or one SELECT")
        return
    query = node.args.get("query")
    select = query.this if type(query) is exp.Subquery and _given(query) == {"this"} else None
    _require(_given(node) == {"this", "query"} and _is_plain(select), node, "write IN (SELECT column FROM table)")
    selected = select.expressions if isinstance(select, exp.Select) else []
    _require(len(selected) == 1 and type(selected[0]) is exp.Column, node, "one column is selected for IN")
    _check_column(selected[0])
    table = select.args["from_"].this.name if select else ""
    _require(bool(_TABLE.fullmatch(table)) and table != _BATCH, node, f"{table!r} is not the name of a lake table")


def _query(text_: str) -> str:
    parse(text_)
    return text_


class UnexpectedRows(RowExpectation):
    """No row for which the query's condition is true. GX knows no `mostly` here."""

    unexpected_rows_query: Annotated[StrictStr, AfterValidator(_query)]

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the batch that the condition names."""
        from sqlglot import exp

        own = (c for c in parse(self.unexpected_rows_query).find_all(exp.Column) if not c.find_ancestor(exp.Subquery))
        return tuple(dict.fromkeys(sorted(c.name for c in own)))

    def lookups(self) -> tuple[str, ...]:
        """Return the lake tables that the condition looks keys up in."""
        from sqlglot import exp

        return tuple(sorted({t.name for t in parse(self.unexpected_rows_query).find_all(exp.Table)}))

    def considered(self, _t: ir.Table) -> ir.BooleanValue:
        """Return all rows."""
        import ibis

        return ibis.literal(True)

    def unexpected(self, t: ir.Table, lookups: Mapping[str, ir.Table]) -> ir.BooleanValue:
        """Return the rows for which the condition is true."""
        found = _compile(parse(self.unexpected_rows_query), _Scope(t, lookups))
        if isinstance(found, bool | int | float | str) or kind(found) != "truth":
            raise Inapplicable("the condition is neither true nor false")
        return found


@dataclass(frozen=True)
class _Scope:
    table: ir.Table
    lookups: Mapping[str, ir.Table]


# Ibis values, or the plain value of a literal: what a comparison makes of it depends on the other side.
Compiled = Any


def _compile(node: exp.Expression, scope: _Scope) -> Compiled:
    return _compilers()[type(node)](node, scope)


def _compilers() -> dict[type, Callable[[Any, _Scope], Compiled]]:
    from sqlglot import exp

    return {
        exp.Column: lambda n, s: s.table[n.name],
        exp.Literal: lambda n, _: n.this if n.is_string else (int(n.this) if n.is_int else float(n.this)),
        exp.Boolean: lambda n, _: bool(n.this),
        exp.Paren: lambda n, s: _compile(n.this, s),
        exp.And: lambda n, s: _truth(n.this, s) & _truth(n.expression, s),
        exp.Or: lambda n, s: _truth(n.this, s) | _truth(n.expression, s),
        exp.Not: lambda n, s: ~_truth(n.this, s),
        exp.Is: lambda n, s: _value(n.this, s).isnull(),
        exp.EQ: _comparison(operator.eq),
        exp.NEQ: _comparison(operator.ne),
        exp.GT: _comparison(operator.gt),
        exp.GTE: _comparison(operator.ge),
        exp.LT: _comparison(operator.lt),
        exp.LTE: _comparison(operator.le),
        exp.Between: lambda n, s: (
            _compare(operator.ge, _compile(n.this, s), _compile(n.args["low"], s))
            & _compare(operator.le, _compile(n.this, s), _compile(n.args["high"], s))
        ),
        exp.Like: lambda n, s: text(_value(n.this, s)).like(n.expression.this),
        exp.In: _in,
        exp.Add: lambda n, s: _number(n.this, s) + _number(n.expression, s),
        exp.Sub: lambda n, s: _number(n.this, s) - _number(n.expression, s),
        exp.Mul: lambda n, s: _number(n.this, s) * _number(n.expression, s),
        exp.Div: lambda n, s: _number(n.this, s) / _number(n.expression, s).nullif(0.0),
        exp.Neg: _negative,
        exp.Abs: lambda n, s: _number(n.this, s).abs(),
        exp.Exp: lambda n, s: _number(n.this, s).exp(),
        exp.Ln: lambda n, s: _logarithm(_number(n.this, s)),
        exp.Round: lambda n, s: _number(n.this, s).round(int(n.args["decimals"].this) if n.args.get("decimals") else 0),
        exp.Coalesce: _coalesce,
    }


def _value(node: exp.Expression, scope: _Scope) -> ir.Value:
    import ibis

    found = _compile(node, scope)
    return ibis.literal(found) if isinstance(found, bool | int | float | str) else found


def _truth(node: exp.Expression, scope: _Scope) -> ir.BooleanValue:
    found = _value(node, scope)
    if kind(found) != "truth":
        raise Inapplicable(f"{node.sql()[:80]!r} is neither true nor false")
    return found


def _number(node: exp.Expression, scope: _Scope) -> ir.FloatingValue:
    # Doubles throughout: integers overflow, and then DuckDB raises.
    return numeric(_value(node, scope)).cast("float64")


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Any, _Scope], Compiled]:
    return lambda n, s: _compare(compare, _compile(n.this, s), _compile(n.expression, s))


_PLAIN = (bool, int, float, str)


def _compare(compare: Callable[[Any, Any], Any], a: Compiled, b: Compiled) -> ir.BooleanValue:
    import ibis

    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        raise Inapplicable("two literals are compared")
    if isinstance(b, _PLAIN):
        return compare(_known(a), as_kind(a, b))
    if isinstance(a, _PLAIN):
        given = as_kind(b, a)
        left = ibis.literal(given) if isinstance(given, _PLAIN) else given
        return compare(left, _known(b))
    comparable(a, b)
    return compare(_known(a), _known(b))


def _known(x: ir.Value) -> ir.Value:
    import ibis

    return x.isnan().ifelse(ibis.null(), x) if x.type().is_floating() else x


def _negative(node: Any, scope: _Scope) -> Compiled:
    from sqlglot import exp

    if type(node.this) is exp.Literal and not node.this.is_string:
        return -_compile(node.this, scope)
    return -_number(node.this, scope)


def _logarithm(x: ir.FloatingValue) -> ir.FloatingValue:
    import ibis

    return (x > 0).ifelse(x, ibis.null()).ln()


def _coalesce(node: Any, scope: _Scope) -> Compiled:
    import ibis

    parts = [_value(n, scope) for n in (node.this, *node.expressions)]
    for part in parts[1:]:
        comparable(parts[0], part)
    return ibis.coalesce(*parts)


def _in(node: Any, scope: _Scope) -> Compiled:
    x = scope.table[node.this.name]
    query = node.args.get("query")
    if query is None:
        return x.isin([as_kind(x, _compile(v, scope)) for v in node.expressions])
    select = query.this
    name, column = select.args["from_"].this.name, select.expressions[0].name
    other = scope.lookups[name]
    if column not in other.columns:
        raise Inapplicable(f"table {name} has no column {column!r}")
    comparable(x, other[column])
    return x.isin(other[column])
