"""Records to JSON and back, by their type hints.

JSON has no NaN and no infinities: they are written as the strings "NaN", "Infinity" and
"-Infinity", and read back as numbers wherever the type allows a number. A field may be
renamed with `metadata={"json": name}`.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
# Control and bidirectional characters, and lone surrogates; those below a space JSON escapes.
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(record: object, *, indent: int | None = None) -> str:
    """Return a record as JSON text; what a terminal would act on becomes its JSON escape."""
    text = json.dumps(encode(record), indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def loads(kind: type[T], text: str | bytes) -> T:
    """Return the record that JSON text holds.

    Raises:
        ValueError: the text is not JSON, or not of this kind.
    """
    record: T = decode(kind, json.loads(text))
    return record


def encode(value: object) -> Any:
    """Return a record as what `json.dumps` takes.

    Raises:
        TypeError: it holds something that is neither a record nor plain data.
    """
    if isinstance(value, Enum):
        return encode(value.value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _number_name(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {_key(item): encode(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    raise TypeError(f"a record cannot hold a {type(value).__name__}: {value!r:.100}")


def decode(kind: Any, data: Any) -> Any:
    """Return plain data as an instance of a type hint.

    Raises:
        ValueError: the data does not fit.
    """
    if kind is Any:
        return _plain(data)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), data)
    if origin is Literal:
        _expect(data in get_args(kind), kind, data)
        return data
    if origin is tuple:
        return _decode_tuple(get_args(kind), data)
    if origin is dict:
        _expect(isinstance(data, dict), kind, data)
        return {key: decode(get_args(kind)[1], item) for key, item in data.items()}
    if is_dataclass(kind):
        return _decode_record(kind, data)
    if kind is float:
        _expect(_is_number(data), kind, data)
        return _NUMBERS[data] if isinstance(data, str) else float(data)
    if issubclass(kind, Enum):
        return kind(data)
    _expect(isinstance(data, kind) and isinstance(data, bool) == (kind is bool), kind, data)
    return data


def map_strings(value: T, change: Callable[[str], str]) -> T:
    """Return the record with every text in it changed; names of fields and enums stay."""
    result: Any = value
    if isinstance(value, str) and not isinstance(value, Enum):
        result = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        result = replace(
            value,
            **{item.name: map_strings(getattr(value, item.name), change) for item in fields(value)},
        )
    elif isinstance(value, dict):
        result = {
            map_strings(key, change): map_strings(item, change) for key, item in value.items()
        }
    elif isinstance(value, list | tuple):
        result = type(value)(map_strings(item, change) for item in value)
    return result  # type: ignore[no-any-return]  # the same shape as what came in


def _number_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _is_number(data: Any) -> bool:
    if isinstance(data, str):
        return data in _NUMBERS
    return isinstance(data, int | float) and not isinstance(data, bool)


def _key(item: Field[Any]) -> str:
    return str(item.metadata.get("json", item.name))


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode_record(kind: Any, data: Any) -> Any:
    _expect(isinstance(data, dict), kind, data)
    names = {_key(item): item.name for item in fields(kind)}
    unknown = sorted(set(data) - set(names))
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {unknown[0]!r}")
    hints = _hints(kind)
    values = {names[key]: decode(hints[names[key]], item) for key, item in data.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a field is missing
        raise ValueError(str(error)) from None


def _decode_tuple(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    _expect(isinstance(data, list | tuple), tuple, data)
    if kinds[-1] is Ellipsis:
        return tuple(decode(kinds[0], item) for item in data)
    _expect(len(kinds) == len(data), tuple, data)
    return tuple(decode(kind, item) for kind, item in zip(kinds, data, strict=True))


def _decode_union(kinds: tuple[Any, ...], data: Any) -> Any:
    """Take what JSON says it is: an exact type first, and a number's name as that number."""
    if data is None and type(None) in kinds:
        return None
    if float in kinds and isinstance(data, str) and data in _NUMBERS:
        return _NUMBERS[data]
    if type(data) in kinds:
        return data
    for kind in kinds:
        if kind is not type(None):
            try:
                return decode(kind, data)
            except ValueError:
                continue
    raise ValueError(f"{data!r:.100} fits none of {kinds}")


def _plain(data: Any) -> Any:
    if isinstance(data, str):
        return _NUMBERS.get(data, data)
    if isinstance(data, dict):
        return {key: _plain(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return data


def _expect(fits: bool, kind: Any, data: Any) -> None:
    if not fits:
        raise ValueError(f"{data!r:.100} is not a {getattr(kind, '__name__', kind)}")
