"""How a setting is declared: once, as a field of a group.

Its flag, its name in a file, its variable, its help, its check and its line in the documentation are derived from that.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from beam_pcc.errors import ConfigurationError, one_line

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}
_KEY = "option"


@dataclass(frozen=True)
class Option:
    """What is known of a setting beside its type and default.

    Attributes:
        flag: Its name on the command line, in a file, and after `run.` in the ConfigMap.
        name: Of the group's field.
        default: Also tells the type; None is that of a text.
        help: One line, without the default.
        usual: What happens where it is not given, if the default does not say so by itself.
        environment: The variable that is read where there is no flag.
        choices: The values that there are, if they are few.
        check: Says what is wrong with a value, as in "must be between 0 and 1"; None if nothing is.
        empty_counts: An empty value of the variable is a value, and not the lack of one.
    """

    help: str
    flag: str = ""
    name: str = ""
    default: Any = None
    usual: str | None = None
    environment: str | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None
    empty_counts: bool = False

    @property
    def kind(self) -> type:
        """The type of its values: str, bool, int, float, or tuple for several texts."""
        return str if self.default is None else type(self.default)

    @property
    def otherwise(self) -> str:
        """What happens where it is not given; empty if there is nothing to say."""
        usual = f"{self.default:g}" if self.kind is float else f"{self.default}"
        said = self.usual or ("" if self.default in (None, False, (), "") else usual)
        return ", else ".join(part for part in (self.environment, said) if part)

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare the flag. It is None where it was not given: the default is not argparse's business."""
        text = (f"{self.help} (default: {self.otherwise})" if self.otherwise else self.help).replace("%", "%%")
        flag, name = f"--{self.flag}", self.flag
        if self.kind is bool:
            parser.add_argument(flag, dest=name, action="store_true", default=None, help=text)
        elif self.kind is tuple:
            parser.add_argument(flag, dest=name, nargs="+", default=None, help=text)
        else:
            parser.add_argument(flag, dest=name, type=self.kind, choices=self.choices or None, default=None, help=text)

    def of_environment(self, environment: Mapping[str, str]) -> Any:
        """The variable's value; None where it says nothing. Raises ConfigurationError."""
        said = environment.get(self.environment) if self.environment else None
        if said is None or (not said.strip() and not self.empty_counts):
            return None
        if self.kind is not bool:
            return said
        if said.strip().lower() not in _TRUE | _FALSE:
            raise ConfigurationError(f"{self.environment} is '{one_line(said, 60)}': use true or false")
        return said.strip().lower() in _TRUE

    def of_file(self, value: Any, where: str) -> Any:
        """A file's value, in the type of the setting. Raises ConfigurationError."""
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if self.kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if type(value) is not self.kind:
            wanted = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
            raise ConfigurationError(f"{where}: {self.flag} must be {wanted.get(self.kind, 'a list of texts')}")
        return value

    def require(self, value: Any) -> None:
        """Raise ConfigurationError if the value cannot be meant."""
        if value is None:
            return
        if self.choices and value not in self.choices:
            raise ConfigurationError(f"--{self.flag} {one_line(value, 60)} is none of {', '.join(self.choices)}")
        wrong = self.check(value) if self.check else None
        if wrong:
            shown = "" if wrong.startswith("must") else f" {one_line(value, 60)}"
            raise ConfigurationError(f"--{self.flag}{shown} {wrong}")


def option(default: Any = None, *, help: str, **more: Any) -> Any:  # noqa: A002 - as argparse calls it
    """A field of a group: its default, and what `Option` says of it."""
    return dataclasses.field(default=default, metadata={_KEY: Option(help, default=default, **more)})


def between(low: float, high: float) -> Callable[[float], str | None]:
    """A check: the number lies there, ends included."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"must be between {low:g} and {high:g}"

    return check


def not_negative(value: float) -> str | None:
    """A check: the number is 0 or above."""
    return None if value >= 0 else "must not be negative"


class Group:
    """Settings that belong together: a dataclass whose fields are made by `option`. Raises ConfigurationError."""

    title: ClassVar[str]

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            one.require(getattr(self, one.name))


G = TypeVar("G", bound=Group)


def options_of(group: type[Group]) -> list[Option]:
    """The settings of a group, in the order in which they stand there."""
    return [
        dataclasses.replace(declared, name=field.name, flag=declared.flag or field.name)
        for field in dataclasses.fields(group)  # type: ignore[arg-type] # every group is a dataclass
        if (declared := field.metadata.get(_KEY))
    ]


def add_arguments(parser: argparse.ArgumentParser, *groups: type[Group], but: Iterable[str] = ()) -> None:
    """Declare the flags of these groups, leaving out some."""
    for group in groups:
        place = parser.add_argument_group(group.title)
        for one in options_of(group):
            if one.flag not in but:
                one.add_to(place)


def resolve(
    group: type[G],
    given: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> G:
    """The group's settings: a flag wins over the environment, that over the file, that over the default.

    Args:
        group: Which.
        given: Flag to value; None is that of a flag that was not given.
        environment: Variables.
        file: Of `--config`, in the settings' own types.

    Raises:
        ConfigurationError: A value cannot be meant; it says which and why.
    """
    values = {}
    for one in options_of(group):
        found = given.get(one.flag)
        if found is None:
            found = one.of_environment(environment or {})
        if found is None:
            found = (file or {}).get(one.flag)
        if found is not None:
            values[one.name] = tuple(found) if one.kind is tuple else found
    return group(**values)


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say of a name that nobody knows."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown setting {one_line(name, 80)}" + (f": did you mean {near[0]}?" if near else "")
