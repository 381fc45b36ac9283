"""The broker to which `watch`, `record` and `replay` connect."""

import argparse
import os
from pathlib import Path

import pytest

from edgepose.cli import main
from edgepose.commands import add_broker, add_config, add_topics, record, replay, watch
from edgepose.commands.broker import BrokerChoice
from edgepose.config import loading
from edgepose.errors import ConfigError, UsageError
from edgepose.mqtt.options import BrokerOptions

FULL = """
[mqtt]
url = "mqtt://ann@broker.lan:1884"
password_file = "password"
base_topic = "house/poses"
protocol = 4
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_broker(parser)
    add_config(parser)
    add_topics(parser)
    return parser.parse_args(words)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the default configuration, which does not exist yet."""
    (tmp_path / "password").write_text("s3cret\n")
    monkeypatch.setattr(loading, "DEFAULT_FILE", tmp_path / "edgepose.toml")
    monkeypatch.delenv("EDGEPOSE_MQTT_PASSWORD", raising=False)
    return tmp_path / "edgepose.toml"


def options(choice: BrokerChoice) -> BrokerOptions:
    return BrokerOptions.from_url(choice.url, **choice.settings)


@pytest.mark.parametrize("named", [True, False])
def test_the_configuration_says_where_and_as_whom(file: Path, tmp_path: Path, named: bool) -> None:
    """The settings come from the file given by `-c`, or from the default file."""
    path = tmp_path / "other.toml" if named else file
    path.write_text(FULL)

    choice = BrokerChoice.from_args(parsed(*(["-c", str(path)] if named else [])))

    found = options(choice)
    assert (found.host, found.port, found.username) == ("broker.lan", 1884, "ann")
    assert (found.password, found.protocol) == ("s3cret", 4)
    assert choice.base_topic == "house/poses"


def test_the_command_line_wins(file: Path) -> None:
    """With `--mqtt` the configuration's login is not used."""
    file.write_text(FULL)

    other = BrokerChoice.from_args(parsed("--mqtt", "mqtt://other.lan"))
    topic = BrokerChoice.from_args(parsed("--base-topic", "mine"))

    assert options(other).host == "other.lan"
    assert (options(other).username, options(other).password) == (None, None)
    assert other.base_topic == "edgepose"
    assert (options(topic).host, topic.base_topic) == ("broker.lan", "mine")


def test_without_a_configuration_it_is_this_machine(file: Path) -> None:
    """The default is localhost:1883."""
    choice = BrokerChoice.from_args(parsed())

    assert (options(choice).address, choice.base_topic) == ("localhost:1883", "edgepose")


@pytest.mark.parametrize(("url", "port"), [("embedded", 1883), ("embedded:1999", 1999)])
def test_the_embedded_broker_is_on_this_machine(file: Path, url: str, port: int) -> None:
    """`embedded` means this machine, with the configured or the default port."""
    file.write_text(f'[mqtt]\nurl = "{url}"\n')

    assert options(BrokerChoice.from_args(parsed())).address == f"127.0.0.1:{port}"


def test_what_cannot_be_used_is_said(file: Path, tmp_path: Path) -> None:
    """Missing files, unreadable passwords and invalid URLs raise an error."""
    with pytest.raises(ConfigError, match="there is no such file"):
        BrokerChoice.from_args(parsed("-c", str(tmp_path / "none.toml")))
    file.write_text(FULL.replace('"password"', '"nothing"'))
    with pytest.raises(ConfigError, match=r"mqtt\.password_file"):
        BrokerChoice.from_args(parsed())
    with pytest.raises(UsageError, match="any port"):
        BrokerChoice.from_args(parsed("--mqtt", "embedded"))
    with pytest.raises(ConfigError, match="expected mqtt://HOST:PORT"):
        options(BrokerChoice.from_args(parsed("--mqtt", "embedded:x")))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_configuration_that_may_not_be_read_is_not_passed_over(file: Path) -> None:
    """An unreadable default configuration is an error: the wrong broker would be used."""
    file.write_text(FULL)
    file.chmod(0)

    with pytest.raises(ConfigError, match="cannot be read"):
        BrokerChoice.from_args(parsed())


@pytest.mark.parametrize("command", ["watch", "record", "replay"])
def test_every_command_takes_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Each command connects to the configured broker."""
    file.write_text(FULL)
    asked: list[BrokerOptions] = []

    def noted(url: str, **settings: object) -> BrokerOptions:
        settings = {
            key: value for key, value in settings.items() if key in BrokerOptions.__annotations__
        }
        asked.append(BrokerOptions.from_url(url, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "Subscription", noted)
    for module in (record, replay):
        monkeypatch.setattr(
            record if module is replay else module,
            "BrokerOptions",
            argparse.Namespace(from_url=noted),
        )
    recording = tmp_path / "r.jsonl"
    recording.write_text('{"edgepose_recording":1,"base_topic":"edgepose"}\n')

    main([command, *([str(recording)] if command == "replay" else [])])

    assert [one.host for one in asked] == ["broker.lan"]
