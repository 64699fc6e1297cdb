"""Objects and exceptions that fail when somebody looks at them, and names that nobody expects."""

from __future__ import annotations

import collections
import string
from typing import Any

NAMES = {
    "plain": "head",
    "umlaut": "größe",
    "chinese": "模型_权重",
    "right to left": "وزن",
    "bidi override": "a\u202egnp.exe",
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "markup": "[red]x[/red]<script>alert(1)</script>|`*_#",
    "control": "a\x00b\rc\nd\te\x7f",
    "surrogate": "half\ud800",
    "emoji": "🧨" * 3,
    "huge": string.ascii_letters * 400,
    "template": "{{7*7}}{title}%s%(x)d{0}",
    "blank": " ",
    "path": "../../etc/passwd",
    "workflow": "::error file=x::y%0A::set-output name=a::b",
}


class Unspeakable(Exception):
    """An exception that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words for it")

    __repr__ = __str__


class Slotted(Exception):
    """An exception that takes no mark."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("__"):
            raise AttributeError(name)
        super().__setattr__(name, value)


class NoDict(Exception):
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no dict")


class WrongWords(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]  # noqa: PLE0307  that is the point


class OwnBase(BaseException):
    """Neither an Exception nor one of the interpreter's own."""


def loop_of_causes() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def sought_on_odd() -> Exception:
    return AttributeError("odd", name="weight", obj=Touchy())


ERRORS = {
    "value": lambda: ValueError("bad value"),
    "unspeakable": Unspeakable,
    "slotted": Slotted,
    "no dict": NoDict,
    "wrong words": WrongWords,
    "huge": lambda: RuntimeError("x" * 3_000_000),
    "many lines": lambda: RuntimeError("line\n" * 50_000),
    "cycle": loop_of_causes,
    "attribute": sought_on_odd,
    "stop": StopIteration,
    "stop async": StopAsyncIteration,
    "key": lambda: KeyError(Touchy()),
    "memory": MemoryError,
    "recursion": lambda: RecursionError("too deep"),
    "assertion": AssertionError,
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "syntax": lambda: SyntaxError("bad", ("<x>", 3, 1, None)),
    "no arguments": Exception,
    "exit": lambda: SystemExit(3),
    "exit with words": lambda: SystemExit("\x1b[31mgood bye"),
    "os": lambda: OSError(28, "No space left on device"),
    "import": lambda: ImportError("attempted relative import with no known parent package"),
    **{f"says {name}": (lambda text=text: RuntimeError(text)) for name, text in NAMES.items()},
}


class Touchy:
    """Raises whatever it is asked."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise Unspeakable

    __len__ = __eq__ = __hash__ = __bool__ = __repr__ = __str__ = __iter__ = _refuse
    __getitem__ = __contains__ = __call__ = __lt__ = __float__ = __int__ = _refuse

    @property
    def shape(self) -> Any:
        raise Unspeakable

    to = labels = dtype = keys = device = data = batch_size = shape


class Chameleon:
    """Says yes to every attribute, and returns itself for everything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        return self


class Liar:
    """Says that it is a dict, and is none."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return dict


class RaisingMapping(collections.abc.Mapping):
    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        raise RuntimeError("no keys today")

    def __len__(self) -> int:
        return 3


class LyingMapping(collections.abc.Mapping):
    """Names keys that it does not have."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        return iter(["input_ids", "labels"])

    def __len__(self) -> int:
        return -1  # noqa: PLE0303


class LongList(list):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 10**6
