"""Records: values with named members, as WIT's `record` describes them."""
from __future__ import annotations

import keyword
from collections.abc import Iterator
from typing import Any


class Record:
    """A value with named members: `r.wait_ms`, `r["wait-ms"]` or `r["wait_ms"]`.

    A member whose name is a Python keyword is read as `r.from_` or `r["from"]`. Two records are equal when their
    members are. Served functions and calls take a Record, a dict or any object with such attributes for a record.
    """

    __slots__ = ("_members",)
    _members: dict[str, Any]

    def __init__(self, /, **members: Any) -> None:
        object.__setattr__(self, "_members", members)

    def __getattr__(self, name: str) -> Any:
        members = object.__getattribute__(self, "_members")
        try:
            return members[member_name(name)]
        except KeyError:
            raise AttributeError(f"the record has no member '{name}'; it has {', '.join(members)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._members[member_name(name)] = value

    def __getitem__(self, name: str) -> Any:
        return self._members[name.replace("-", "_")]

    def __setitem__(self, name: str, value: Any) -> None:
        self._members[name.replace("-", "_")] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self._members]

    def keys(self) -> Any:
        """With it, dict(record) works."""
        return self._members.keys()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self._members == other._members

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{name}={value!r}' for name, value in self._members.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _record_of, (self._members,)


def _record_of(members: dict[str, Any]) -> Record:
    return Record(**members)


def member_name(attribute: str) -> str:
    """The name in snake_case that an attribute stands for: `from_` is `from`, because `from` is a keyword."""
    if attribute.endswith("_") and keyword.iskeyword(attribute[:-1]):
        return attribute[:-1]
    return attribute
