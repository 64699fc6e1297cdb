"""A trace on disk: one SQLite file a process, readable with SQL or pandas while it grows.

Each table of a trace is a table of the file, one row a record, with the name of the trace it
belongs to; what is no number or text stands there as JSON. What was committed survives kill -9.
The file is bounded because its traces are: an appended table is thinned by whoever writes it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from traindoctor.codec import decode, encode
from traindoctor.errors import TargetError, shortened, told
from traindoctor.trace.tables import Trace

FORMAT = 1
_PLAIN = {int: "INTEGER", float: "REAL", str: "TEXT", bool: "INTEGER"}


class TraceFile:
    """Writes traces by name. Not to be shared by threads that write at the same time.

    Args:
        path: where the file is; one that is there is gone on with.

    Raises:
        OSError: it cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            self.connection.execute(
                "CREATE TABLE IF NOT EXISTS facts"
                " (trace TEXT, name TEXT, value TEXT, PRIMARY KEY (trace, name))"
            )
        except sqlite3.Error as error:
            raise OSError(f"cannot write a trace to {path}: {error}") from None
        self.put_facts("", {"format": FORMAT})

    def put(self, trace: str, table: str, rows: Iterable[Any], *, behind: int = 0) -> None:
        """Write the last rows of a table, in place of all but the first ones there.

        Args:
            trace: its name.
            table: its name.
            rows: what is written.
            behind: so many rows stay as they are.

        Raises:
            OSError: the disk is full, or the file is gone.
        """
        columns = _columns(table)
        marks = ", ".join("?" * (len(columns) + 1))
        written = [[trace, *_values(row, columns)] for row in rows]
        with _as_os_error(), self.connection:
            self.connection.execute("BEGIN")
            self._create(table, columns)
            self.connection.execute(
                f'DELETE FROM "{table}" WHERE trace = ?1 AND rowid >= (SELECT rowid FROM "{table}"'
                " WHERE trace = ?1 ORDER BY rowid LIMIT 1 OFFSET ?2)",
                (trace, behind),
            )
            self.connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', written)

    def put_facts(self, trace: str, facts: Mapping[str, Any]) -> None:
        """Write single figures; one that is there is replaced.

        Raises:
            OSError: the disk is full, or the file is gone.
        """
        with _as_os_error():
            self.connection.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)",
                [(trace, name, _text(value)) for name, value in facts.items()],
            )

    def close(self) -> None:
        """Close the file; its write-ahead log is folded into it."""
        self.connection.close()

    def _create(self, table: str, columns: tuple[tuple[str, str, Any], ...]) -> None:
        written = ", ".join(f'"{name}" {kind}' for name, kind, _ in columns)
        self.connection.execute(f'CREATE TABLE IF NOT EXISTS "{table}" (trace TEXT, {written})')


class StoredTraces:
    """Reads what a `TraceFile` holds, also while it is written to.

    Raises:
        TargetError: the file is not there, or is no trace.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise TargetError(f"there is no trace {path}")
        self.path = path
        if self.facts("").get("format") != FORMAT:
            raise TargetError(f"{path} is no trace of this version of traindoctor")

    def facts(self, trace: str, only: Collection[str] = ()) -> dict[str, Any]:
        """Return the single figures of a trace, or those of some names."""
        with _as_target_error(self.path), self._open() as connection:
            return dict(_facts(connection, trace, tuple(only)))

    def trace(self, name: str, only: Collection[str] | None = None) -> Trace | None:
        """Return a trace, or None where nothing of it was written.

        Args:
            name: of the trace.
            only: the tables that are read, beside its facts; None for all.
        """
        with _as_target_error(self.path), self._open() as connection:
            there = {
                table
                for (table,) in connection.execute("SELECT name FROM sqlite_master")
                if table in _row_kinds() and (only is None or table in only)
            }
            connection.execute("BEGIN")  # one state of the file for all tables
            tables = {table: tuple(_rows(connection, table, name)) for table in sorted(there)}
            facts = dict(_facts(connection, name))
        if not facts and not any(tables.values()):
            return None
        setup = tables.pop("setup", ())
        first = {"setup": setup[0]} if setup else {}
        return Trace(**{**tables, **first, "facts": facts})

    def _open(self) -> closing[sqlite3.Connection]:
        return closing(_connected(self.path))


def _connected(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        connection.execute("SELECT 1 FROM facts LIMIT 1").fetchall()
    except sqlite3.Error:
        raise TargetError(f"{path} is no trace of traindoctor") from None
    return connection


@lru_cache(maxsize=1)
def _row_kinds() -> dict[str, type]:
    """Return the kind of row of each table of a trace, and of `setup`."""
    hints = get_type_hints(Trace)
    kinds = {name: get_args(hint)[0] for name, hint in hints.items() if get_args(hint)}
    del kinds["facts"]
    return {**kinds, "setup": hints["setup"]}


@lru_cache(maxsize=64)
def _columns(table: str) -> tuple[tuple[str, str, Any], ...]:
    """Return name, SQL type and type hint of each column."""
    kind = _row_kinds()[table]
    hints = get_type_hints(kind)
    found = [(item.name, hints[item.name]) for item in fields(kind)]
    return tuple((name, _PLAIN.get(_bare(hint), "JSON"), hint) for name, hint in found)


def _bare(hint: Any) -> Any:
    """Return `float` for `float | None`."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and len(get_args(hint)) == 2 else hint


def _values(row: Any, columns: tuple[tuple[str, str, Any], ...]) -> Iterator[Any]:
    for name, kind, _ in columns:
        value = getattr(row, name)
        if value is None:
            yield None
        elif kind == "JSON" or (kind == "REAL" and not _is_finite(value)):
            yield _text(value)  # SQLite has no NaN
        else:
            yield value if kind != "TEXT" else str(value).encode("utf-8", "replace").decode()


def _rows(connection: sqlite3.Connection, table: str, trace: str) -> Iterator[Any]:
    kind, columns = _row_kinds()[table], {name: (sql, hint) for name, sql, hint in _columns(table)}
    names = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')][1:]
    known = [name for name in names if name in columns]
    written = ", ".join(f'"{name}"' for name in known)
    query = f'SELECT {written} FROM "{table}" WHERE trace = ? ORDER BY rowid'
    for values in connection.execute(query, (trace,)):
        yield kind(
            **{
                name: _read(value, *columns[name])
                for name, value in zip(known, values, strict=True)
            }
        )


def _read(value: Any, sql: str, hint: Any) -> Any:
    if value is None:
        return None
    if sql == "JSON" or (sql == "REAL" and isinstance(value, str)):
        return decode(hint, json.loads(value))
    if sql == "REAL":
        return float(value)
    kind = _bare(hint)
    if kind is bool:
        return bool(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r:.100} is not a {kind.__name__}")
    return value


def _facts(
    connection: sqlite3.Connection, trace: str, only: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    named = f" AND name IN ({', '.join('?' * len(only))})" if only else ""
    query = f"SELECT name, value FROM facts WHERE trace = ?{named}"
    for name, value in connection.execute(query, (trace, *only)):
        yield name, _tupled(decode(Any, json.loads(value)))


def _tupled(value: Any) -> Any:
    """Give facts back as probes know them: sequences as tuples, places as places."""
    from traindoctor.trace.rows import Place

    if isinstance(value, list):
        return tuple(_tupled(item) for item in value)
    if isinstance(value, dict):
        if set(value) == {"file", "line", "function", "text"}:
            return Place(**value)
        return {key: _tupled(item) for key, item in value.items()}
    return value


def _text(value: Any) -> str:
    if isinstance(value, set | frozenset):
        value = sorted(value)
    return json.dumps(encode(value)).encode("utf-8", "backslashreplace").decode()


def _is_finite(value: float) -> bool:
    return value - value == 0


@contextmanager
def _as_target_error(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file, or one that somebody else has written to, makes of reading."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise TargetError(f"the trace {path} is damaged: {shortened(told(error), 200)}") from None


class _as_os_error:  # noqa: N801  used like a function
    """Turn SQLite's errors into `OSError`: the caller goes on without a trace."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, sqlite3.Error):
            raise OSError(f"the trace cannot be written: {error}") from None
