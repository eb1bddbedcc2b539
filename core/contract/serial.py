"""Frozen dataclasses to JSON and back, strictly: an unknown, missing or mistyped field is an error."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from typing import Any, TypeVar

from .errors import InstaGeoError, Problems

T = TypeVar("T")


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of a dataclass or of plain values; NaN and infinity are refused, since JSON has neither."""
    return json.dumps(to_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Dataclasses to dictionaries, tuples to lists, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    return value


def from_plain(cls: type[T], data: Any, subject: str = "") -> T:
    """Build the dataclass `cls` from dictionaries and lists.

    Raises `InstaGeoError` that lists every unknown, missing and mistyped field.
    """
    subject = subject or cls.__name__
    if not isinstance(data, dict):
        raise InstaGeoError(f"{subject}: expected a JSON object, found {type(data).__name__}.")
    problems = Problems(subject)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for name in sorted(set(data) - set(fields)):
        problems.add(f"unknown field '{name}'.")
    values = {}
    for name, field in fields.items():
        if name in data:
            try:
                values[name] = _convert(hints[name], data[name], f"{subject}.{name}")
            except InstaGeoError as error:
                problems.add(error.message)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.add(f"field '{name}' is missing.")
    problems.raise_if_any()
    return cls(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:  # noqa: C901, PLR0911 - one line a type
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Union:
        if value is None and type(None) in arguments:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast("type[Any]", hint), value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _mistyped("object", value, where)
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        if hint is float and not math.isfinite(value):
            raise _mistyped("a finite number", value, where)
        return value
    raise _mistyped(hint.__name__, value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mistyped("a list", value, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise _mistyped(f"a list of {len(arguments)}", value, where)
    return tuple(_convert(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(arguments, value)))


def _mistyped(expected: str, value: Any, where: str) -> InstaGeoError:
    return InstaGeoError(f"{where}: expected {expected}, found {value!r}.")
