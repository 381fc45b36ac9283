"""Reads the configuration file, applies overrides and locates each key's line."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from edgepose.config import error_messages, toml
from edgepose.config.checks import semantic_errors
from edgepose.config.error_messages import Problem
from edgepose.config.schema import Camera, Config, Mqtt, Table
from edgepose.errors import ConfigError, EdgeposeError
from edgepose.urls import redact

DEFAULT_FILE: Final = Path("/etc/edgepose/edgepose.toml")


AnyTable = TypeVar("AnyTable", bound="Table")


def load(path: Path) -> Config:
    """Return the configuration of a file; relative paths in it are relative to its folder."""
    config, folder = loads(_read_text(path), str(path)), path.parent.absolute()
    mqtt, model, replace = config.mqtt, config.model, msgspec.structs.replace
    files = ("password_file", "ca_file", "cert_file", "key_file")
    if model.name.endswith(".tflite"):
        model = replace(model, name=str(folder / model.name))
    if model.twin.endswith(".tflite"):
        model = replace(model, twin=str(folder / model.twin))
    if "/" in model.delegate:
        model = replace(model, delegate=str(folder / model.delegate))
    cameras = tuple(
        camera if "://" in camera.source else replace(camera, source=str(folder / camera.source))
        for camera in config.cameras
    )
    return replace(
        config,
        mqtt=_make_absolute(folder, mqtt, files),
        model=model,
        cameras=cameras,
        web=_make_absolute(folder, config.web, ("cert_file", "key_file")),
    )


def _make_absolute(folder: Path, table: AnyTable, files: Sequence[str]) -> AnyTable:
    """Return a table in which the paths of these keys are absolute."""
    named = {name: str(folder / found) for name in files if (found := getattr(table, name))}
    return msgspec.structs.replace(table, **named)


def loads(text: str, where: str) -> Config:
    """Return the configuration of a TOML text; `where` names the text in errors.

    Raises
    ------
    ConfigError
        Names the line, the key, the value found and the values expected, of each problem on a
        line of its own.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # also raised for a number with thousands of digits
        raise ConfigError(error_messages.syntax(str(error), where, text)) from None
    except RecursionError:
        msg = f"{where}: brackets within brackets without end; expected a few levels of them"
        raise ConfigError(msg) from None
    config, problems = validate(data)
    if config is not None and not problems:
        return config
    raise ConfigError("\n".join(_locate_problem(problem, text, where) for problem in problems))


def _locate_problem(problem: error_messages.Problem, text: str, where: str) -> str:
    line = toml.line_of(text, problem.path)
    return f"{where}:{line or ''}".removesuffix(":") + f": {problem.message}"


def validate(data: Mapping[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Build a configuration from plain data; return it and all problems.

    The configuration is None if the data does not match the schema.
    """
    config, problems = error_messages.decode(data, Config)
    return config, [*problems, *(semantic_errors(config) if config else ())]


def load_with_overrides(
    file: Path | None, *, source: str = "", model: str = "", mqtt: str = ""
) -> Config:
    """Return the configuration of a file with the overrides of the command line.

    Without a file the default one is read if it exists. A source replaces all cameras; if
    exactly one camera is configured, its other settings are kept.
    """
    config = load(file or DEFAULT_FILE) if file or DEFAULT_FILE.is_file() else Config()
    replace = msgspec.structs.replace
    if source:
        only = config.cameras[0] if len(config.cameras) == 1 else Camera(id="camera", source="-")
        config = replace(config, cameras=(replace(only, source=source),))
    if model:
        config = replace(config, model=replace(config.model, name=model))
    if mqtt:
        config = replace(config, mqtt=_with_broker_url(config.mqtt, mqtt))
    for problem in semantic_errors(config):
        raise ConfigError(f"command line: {problem.message}")
    return config


class Origin(Struct, frozen=True, kw_only=True):
    """Origin of a configuration: a file and the overrides of the command line."""

    file: str = ""
    """Path of the file. Empty: the default one, if it exists."""

    source: str = ""
    model: str = ""
    mqtt: str = ""
    debug: bool = False
    """Whether to use log level debug regardless of the file."""

    @property
    def path(self) -> Path:
        """Path of the file, which may not exist."""
        return Path(self.file) if self.file else DEFAULT_FILE

    def read(self) -> Config:
        """Return the configuration to run.

        Raises
        ------
        ConfigError
            When it is invalid or has no camera.
        """
        config = load_with_overrides(
            Path(self.file) if self.file else None,
            source=self.source,
            model=self.model,
            mqtt=self.mqtt,
        )
        require_cameras(config, self.path)
        if self.debug:
            config = msgspec.structs.replace(
                config, log=msgspec.structs.replace(config.log, level="debug")
            )
        return config

    def locate(self, path: toml.Path) -> str:
        """Return file, line and key of a value; empty if it is not in the file."""
        where = self.line(path)
        return f"{where}{toml.spell(path)}: " if where else ""

    def line(self, path: toml.Path) -> str:
        """Return file and line of a value as a message prefix; empty if it is not in the file."""
        above = {"camera": self.source, "model": self.model}
        if not path or above.get(str(path[0])) or not self.path.is_file():
            return ""
        line = toml.line_of(_read_text(self.path), path)
        return f"{self.path}:{line}: " if line else ""


@contextmanager
def with_config_location(origin: Origin | None, *path: str | int) -> Iterator[None]:
    """Prefix errors raised in the block with file, line and key of the invalid value.

    An error that names its key is located at that key, any other error at `path`.
    """
    try:
        yield
    except EdgeposeError as error:
        if origin is None:
            raise
        key = getattr(error, "key", ())
        place = origin.line(key) if key else origin.locate(path)
        raise type(error)(f"{place}{error}") from error


def _with_broker_url(mqtt: Mqtt, url: str) -> Mqtt:
    """Return the table with another broker URL; without TLS, the certificates are removed."""
    other = msgspec.structs.replace(mqtt, url=url)
    if url.startswith("mqtts:"):
        return other
    return msgspec.structs.replace(other, ca_file="", cert_file="", key_file="")


def require_cameras(config: Config, file: Path) -> None:
    """Raise an error if no camera is configured."""
    if config.cameras:
        return
    if not file.exists():
        raise ConfigError(f"{_missing_file_message(file)}, or give --source")
    msg = f"{file}: no camera; add a [[camera]] table with id and source, or give --source"
    raise ConfigError(msg)


def redacted(config: Config) -> dict[str, Any]:
    """Return the current values as plain data, without secrets."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    data["mqtt"]["url"] = redact(config.mqtt.url)
    for camera in data["camera"]:
        camera["source"] = redact(camera["source"])
    return data


def _read_text(path: Path) -> str:
    try:
        # Editors on Windows write a byte order mark, which TOML does not allow.
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        msg = _missing_file_message(path)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; expected a file this user may read"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        msg = f"{path}:{line}: not UTF-8; save the file with that encoding"
    raise ConfigError(msg) from None


def _missing_file_message(path: Path) -> str:
    return f'{path}: there is no such file; "edgepose config init {path}" writes one'
