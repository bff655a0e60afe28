"""Where settings come from: command-line options, environment variables, one TOML file; the first that says it wins.

Every key of ``domain.settings`` can be said in each: ``api.port`` is ``[api] port`` in the file and HOWDAH_API_PORT in
the environment. What is unknown, of a wrong type or out of range is an error that names the key and where it was said.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from howdah.cli.values import CHECKS, convert
from howdah.domain.errors import SetupError
from howdah.domain.settings import Settings

PREFIX = "HOWDAH_"
OTHER_VARIABLES = frozenset({"HOWDAH_CONFIG", "HOWDAH_PYTHON", "HOWDAH_SECRETS_KEY_FILE"})
KEPT_VARIABLES = ("HOWDAH_SECRETS_KEY_FILE",)
OTHER_PREFIXES = ("HOWDAH_SETUP_", "HOWDAH_TEST_", "HOWDAH_BENCH_", "HOWDAH_SERVICE_", "HOWDAH_PORT")
"""Not keys; the last two are what an orchestrator sets for a service that is called howdah."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration. ``path``: its section (or none) and name."""

    path: tuple[str, ...]
    type: Any
    default: Any
    doc: str

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(self.path).upper()


@dataclass(frozen=True, slots=True)
class _Said:
    value: Any
    where: str


def keys() -> tuple[Key, ...]:
    """Every key, in the order of the settings."""
    return tuple(_keys_of(Settings, ()))


def _keys_of(section: type, path: tuple[str, ...]) -> Iterator[Key]:
    types = get_type_hints(section)
    for field in fields(section):
        kind = types[field.name]
        if is_dataclass(kind):
            yield from _keys_of(cast("type", kind), (*path, field.name))
        else:
            yield Key((*path, field.name), kind, _default(field), field.metadata.get("doc", "State directory"))


def _default(field: Field[Any]) -> Any:
    return None if field.default is MISSING else field.default


def load_settings(
    options: Mapping[str, Any], *, environ: Mapping[str, str], file: Path | None, default_state: Path
) -> Settings:
    """The settings. ``options``: by key name, None where an option was not given.

    Raises SetupError naming the key, where it was said, and the rule that it breaks.
    """
    said: dict[str, _Said] = {}
    if file is not None:
        said |= _from_file(file)
    said |= _from_environment(environ)
    said |= {
        name: _Said(value, "option --" + name.replace(".", "-")) for name, value in options.items() if value is not None
    }
    values = {"state": default_state} | {key.name: _value(key, said[key.name]) for key in keys() if key.name in said}
    settings = cast("Settings", _build(Settings, (), values))
    _check_public(settings)
    return settings


def _check_public(settings: Settings) -> None:
    api = settings.api
    if api.scheme == "http" and not ipaddress.ip_address(api.host).is_loopback:
        raise SetupError(
            f"api.host is {api.host}, where others could read keys and passwords as they pass: without TLS the API"
            " listens on loopback only. Set api.tls_certificate and api.tls_key to PEM files, or api.tls_generate to"
            " true; or listen on 127.0.0.1 or"
            " ::1 and come by a tunnel (ssh -L) or a proxy on this machine that speaks TLS"
        )


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that says all of these settings, and nothing else of Howdah's."""
    said = {key.variable: _text(value) for key in keys() if (value := _said_by(settings, key.path)) is not None}
    return said | {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}


def _said_by(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


def _text(value: Any) -> str:
    return ",".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)


def _value(key: Key, said: _Said) -> Any:
    try:
        value = convert(said.value, key.type)
        return CHECKS.get(key.name, lambda accepted: accepted)(value)
    except ValueError as problem:
        raise SetupError(f"{key.name} ({said.where}) {problem}") from None


def _build(section: Any, path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    types = get_type_hints(section)
    arguments: dict[str, Any] = {}
    for field in fields(section):
        here = (*path, field.name)
        if is_dataclass(types[field.name]):
            arguments[field.name] = _build(types[field.name], here, values)
        elif (name := ".".join(here)) in values:
            arguments[field.name] = values[name]
    return section(**arguments)


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Said]:
    by_variable = {key.variable: key.name for key in keys()}
    said: dict[str, _Said] = {}
    for variable, value in environ.items():
        if name := by_variable.get(variable):
            said[name] = _Said(value, f"environment variable {variable}")
        elif variable.startswith(PREFIX) and not _is_other(variable):
            raise SetupError(f"the environment variable {variable} is not known; {_nearest(variable, by_variable)}")
    return said


def _is_other(variable: str) -> bool:
    return variable in OTHER_VARIABLES or variable.startswith(OTHER_PREFIXES)


def _from_file(file: Path) -> dict[str, _Said]:
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise SetupError(f"the configuration {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"the configuration {file} is not TOML: {error}") from None
    known = {key.name for key in keys()}
    sections = {key.path[0] for key in keys() if len(key.path) > 1}
    said: dict[str, _Said] = {}
    for name, value in _flat(content, sections):
        if name not in known:
            raise SetupError(f"the configuration {file} has the unknown key {name}; {_nearest(name, known)}")
        said[name] = _Said(value, str(file))
    return said


def _flat(content: Mapping[str, Any], sections: set[str]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and name in sections:
            for inner, inner_value in cast("dict[str, Any]", value).items():
                yield f"{name}.{inner}", inner_value
        else:
            yield name, value


def _nearest(wrong: str, known: Mapping[str, str] | set[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    everything = "all: docs/configuration.md"
    return f"nearest: {near[0]}; {everything}" if near else everything
