"""Where one record ends and the next one begins."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from asyncfabric_storage import ConfigurationError

Records: TypeAlias = Literal["lines"] | int | bytes
_LONGEST_DELIMITER = 1024


class Rule(NamedTuple):
    """How a sequence of bytes is cut into records.

    Attributes:
        delimiter: what ends a record; empty where all are of one width.
        width: bytes of each record; 0 where a delimiter ends them.
        text: the records are lines: they end with a line feed, or carriage return and line feed.
    """

    delimiter: bytes = b"\n"
    width: int = 0
    text: bool = False

    @property
    def overlaps(self) -> bool:
        """Whether a delimiter can begin within another one, as two empty lines do in three."""
        return any(
            self.delimiter.endswith(self.delimiter[:count])
            for count in range(1, len(self.delimiter))
        )


LINES = Rule(text=True)


def rule_of(records: Records) -> Rule:
    """Return the rule that `records` stands for.

    Args:
        records: "lines"; a number of bytes that each record has; or the bytes that end each one.

    Raises:
        ConfigurationError: it is nothing of these.
    """
    given: object = records
    if given == "lines":
        return LINES
    if isinstance(given, bytes) and 0 < len(given) <= _LONGEST_DELIMITER:
        return Rule(delimiter=given)
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return Rule(delimiter=b"", width=given)
    msg = (
        f"records={records!r:.80} makes no sense; give 'lines', the number of bytes of every "
        "record, or the bytes that end each record, such as b'\\0'"
    )
    raise ConfigurationError(msg)
