"""Declares settings: each once, as a field of a group.

Its flag, name in a file, environment variable, help, check and line in the documentation are derived from the field.
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
    """The declaration of a setting.

    Attributes:
        flag: Its name on the command line, in a file, and after `run.` in the ConfigMap.
        name: The name of the field.
        default: The default, which also sets the type; None for an optional text.
        help: One line, without the default.
        usual: A description of the default, if its value does not explain itself.
        environment: The environment variable that is read if the flag is missing.
        choices: The allowed values, if there are few.
        check: Returns what is wrong with a value, such as "must be between 0 and 1", or None.
        empty_counts: Whether an empty environment variable is a value.
        dtype: The type of its values, if the default is None and they are no texts.
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
    dtype: type = str

    @property
    def value_type(self) -> type:
        """The type of its values: str, bool, int, float, or tuple for several texts."""
        return self.dtype if self.default is None else type(self.default)

    @property
    def default_text(self) -> str:
        """The default for help and documentation; empty if there is none."""
        default = f"{self.default:g}" if isinstance(self.default, float) else f"{self.default}"
        text = self.usual or ("" if self.default in (None, False, (), "") else default)
        return ", else ".join(part for part in (self.environment, text) if part)

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare the flag. Its default is None, to distinguish a missing flag from its default."""
        text = (f"{self.help} (default: {self.default_text})" if self.default_text else self.help).replace("%", "%%")
        flag, name = f"--{self.flag}", self.flag
        if self.value_type is bool:
            parser.add_argument(flag, dest=name, action="store_true", default=None, help=text)
        elif self.value_type is tuple:
            parser.add_argument(flag, dest=name, nargs="+", default=None, help=text)
        else:
            choices = self.choices or None
            parser.add_argument(flag, dest=name, type=self.value_type, choices=choices, default=None, help=text)

    def from_environment(self, environment: Mapping[str, str]) -> Any:
        """The value of the environment variable; None if it is not set. Raises ConfigurationError."""
        text = environment.get(self.environment) if self.environment else None
        if text is None or (not text.strip() and not self.empty_counts):
            return None
        if self.value_type is not bool:
            return text
        if text.strip().lower() not in _TRUE | _FALSE:
            raise ConfigurationError(f"{self.environment} is '{one_line(text, 60)}': use true or false")
        return text.strip().lower() in _TRUE

    def from_file(self, value: Any, where: str) -> Any:
        """A value of a file, converted to the type of the setting. Raises ConfigurationError."""
        if self.value_type is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if self.value_type is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        if type(value) is not self.value_type:
            wanted = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
            raise ConfigurationError(f"{where}: {self.flag} must be {wanted.get(self.value_type, 'a list of texts')}")
        return value

    def require(self, value: Any) -> None:
        """Raise ConfigurationError if the value is invalid."""
        if value is None:
            return
        if self.choices and value not in self.choices:
            raise ConfigurationError(f"--{self.flag} {one_line(value, 60)} is none of {', '.join(self.choices)}")
        wrong = self.check(value) if self.check else None
        if wrong:
            shown = "" if wrong.startswith("must") else f" {one_line(value, 60)}"
            raise ConfigurationError(f"--{self.flag}{shown} {wrong}")


def option(default: Any = None, *, help: str, **more: Any) -> Any:  # noqa: A002 - as argparse calls it
    """A field of a group; see `Option` for the arguments."""
    return dataclasses.field(default=default, metadata={_KEY: Option(help, default=default, **more)})


def between(low: float, high: float) -> Callable[[float], str | None]:
    """A check: the number is at least `low` and at most `high`."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"must be between {low:g} and {high:g}"

    return check


def not_negative(value: float) -> str | None:
    """A check: the number is 0 or above."""
    return None if value >= 0 else "must not be negative"


class Group:
    """Related settings: a dataclass whose fields are declared by `option`. Raises ConfigurationError."""

    title: ClassVar[str]

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            one.require(getattr(self, one.name))


G = TypeVar("G", bound=Group)


def options_of(group: type[Group]) -> list[Option]:
    """The settings of a group, in the order of their declaration."""
    return [
        dataclasses.replace(declared, name=field.name, flag=declared.flag or field.name)
        for field in dataclasses.fields(group)  # type: ignore[arg-type] # every group is a dataclass
        if (declared := field.metadata.get(_KEY))
    ]


def add_arguments(parser: argparse.ArgumentParser, *groups: type[Group], but: Iterable[str] = ()) -> None:
    """Declare the flags of these groups, except those in `but`."""
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
    """The settings of a group: a flag wins over the environment, that over the file, that over the default.

    Args:
        group: The group.
        given: Values by flag; None for a missing flag.
        environment: Environment variables.
        file: The settings of `--config`, with their types.

    Raises:
        ConfigurationError: A value is invalid; the message names the setting and the reason.
    """
    values = {}
    for one in options_of(group):
        value = given.get(one.flag)
        if value is None:
            value = one.from_environment(environment or {})
        if value is None:
            value = (file or {}).get(one.flag)
        if value is not None:
            values[one.name] = tuple(value) if one.value_type is tuple else value
    return group(**values)


def unknown(name: str, known: Iterable[str]) -> str:
    """The error message for an unknown name, with the most similar known one."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown setting {one_line(name, 80)}" + (f": did you mean {near[0]}?" if near else "")
