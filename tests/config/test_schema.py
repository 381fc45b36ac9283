"""The configuration: what it accepts, and its error messages."""

import os
import random
import re
from pathlib import Path

import pytest

from edgepose.config import loading, reference, schema, secrets, toml
from edgepose.config.gesture_rules import BUILT_IN
from edgepose.config.loading import load, loads
from edgepose.config.schema import Camera, Config
from edgepose.errors import ConfigError
from edgepose.people.zones import Zone

UNPRIVILEGED = 65534  # id of a user without permissions: root has access to everything
CAMERA = '[[camera]]\nid = "hall"\nsource = "demo://"\n'
ZONE = CAMERA + '[[camera.zone]]\nid = "sofa"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'

WHOLE = """
[device]
id = "hall-pi"
name = "Hall Pi"
[mqtt]
url = "mqtts://localhost"
username = "edgepose"
password_file = "/run/password"
client_id = "hall-1"
ca_file = "ca.pem"
cert_file = "cert.pem"
key_file = "key.pem"
base_topic = "house/edgepose"
protocol = 4
encoding = "msgpack"
[homeassistant]
discovery = false
prefix = "ha"
[model]
name = "movenet-lightning"
twin = "posenet"
delegate = "edgetpu:usb:0"
threads = 2
interpreters = 2
policy = "whole"
[pose]
max_people = 3
min_pose_score = 0.5
min_keypoint_score = 0
still_fps = 4
smoothing = "off"
[[camera]]
id = "hall"
name = "Flur"
source = "picamera2://0"
fps = 12.5
motion_gate = false
idle_fps = 1
realtime = false
rotate = 90
mirror = true
roi = [0.5, 0.0, 0.5, 1.0]
snapshot = "camera"
snapshot_on = ["fall"]
masks = [[[0,0],[0.2,0],[0.2,0.3],[0,0.3]]]
clip_on = ["long_lie"]
clip = "camera"
live = "camera"
  [[camera.zone]]
  id = "sofa"
  polygon = [[0.1,0.5],[0.6,0.5],[0.6,1.0],[0.1,1.0]]
  kind = "rest"
  dwell_s = 30.0
  min_dwell_s = 2.5
  [[camera.line]]
  id = "door"
  points = [[0.1,0.5],[0.6,0.5]]
  sides = ["in", "out"]
  [camera.floor]
  points = [[0.3,0.6],[0.7,0.6],[0.9,0.9],[0.1,0.9]]
  size = [2.0, 3.0]
  metres = [[0,0],[2,0],[2,3],[0,3]]
  frame = "hall"
[clips]
keep = "/var/lib/clips"
keep_mb = 9.5
[events]
presence_on_s = 1
presence_off_s = 2.5
fall_confirm_s = 20.0
fall_recover_s = 2.5
fall_gone_s = 90.0
long_lie_s = 45.0
still_s = 90.0
fall = false
gestures = ["wave"]
[[gesture]]
id = "bow"
when = ["nose below hip"]
unless = ["knee below hip by 0.5"]
hold_s = 1
cooldown_s = 5
[metrics]
listen = ""
[web]
listen = "[::1]:8600"
picture = true
hosts = ["pose.example"]
trusted_proxies = ["172.30.32.2"]
url = "https://pose.example/hall/"
cert_file = "page.pem"
key_file = "page.key"
[log]
level = "debug"
format = "json"
"""


def complaint(text: str) -> str:
    """Return the error message of an invalid text."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "edgepose.toml")
    return str(caught.value)


def test_every_key_takes_effect() -> None:
    """In a file with all keys every value differs from the default after loading."""
    gesture = '[[gesture]]\nid = "-"\nwhen = ["nose above hip"]\n'
    bare = loads(f'{gesture}[[camera]]\nid = "-"\nsource = "-"', "bare")

    found, default = (loading.redacted(one) for one in (loads(WHOLE, "whole"), bare))

    for one in (found, default):
        one |= {name: one[name][0] for name in ("camera", "gesture")}
    assert found.keys() == default.keys()
    for table, keys in default.items():
        for key, value in keys.items():
            assert found[table][key] != value, f"{table}.{key}"
    assert found["camera"]["zone"][0]["kind"] == "rest"


def test_an_empty_file_is_the_default() -> None:
    """All keys are optional; the device id is derived from the host name."""
    found = loads("", "edgepose.toml")

    assert found == Config()
    assert re.fullmatch(r"[a-z0-9_-]{1,64}", found.device.id)
    assert found.device.title == found.device.id


@pytest.mark.parametrize(
    ("host", "expected"),
    [("Hall Pi.local", "hall-pi"), ("küche", "k-che"), ("...", "edgepose"), ("a" * 80, "a" * 64)],
)
def test_a_host_name_becomes_a_valid_id(
    monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    """Every host name is converted to a valid id."""
    monkeypatch.setattr("socket.gethostname", lambda: host)

    assert schema.host_id() == expected


def test_what_is_shown_loads_to_the_same() -> None:
    """The output of `config show` loads to the same configuration."""
    found = loads(WHOLE, "edgepose.toml")

    again = loads(toml.dump(loading.redacted(found)), "shown")

    assert again == found


def test_a_zone_is_what_the_detectors_know() -> None:
    """A configured zone has the same id, corners and kind as the detector's."""
    zone = loads(WHOLE, "edgepose.toml").cameras[0].zones[0]

    floor = Zone.from_config(zone)

    assert (floor.id, floor.polygon, floor.kind) == (zone.id, zone.polygon, "rest")


def test_gestures_are_the_built_in_ones_and_ones_own() -> None:
    """Each built-in name can be listed; own gestures are added without being listed."""
    listed = ", ".join(f'"{name}"' for name in BUILT_IN)

    everything = loads(f"[events]\ngestures = [{listed}]", "x").rules()
    own = loads(WHOLE, "x").rules()

    assert everything == tuple(BUILT_IN.values())
    assert [rule.id for rule in own] == ["wave", "bow"]
    assert own[1].hold_s == 1.0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        # names
        (
            "[mqt]",
            1,
            ['unknown name "mqt"', 'did you mean "mqtt"?', "known: camera, clips, device"],
        ),
        (
            CAMERA + "rotat = 90\nmiror = true",
            4,
            ['camera[0]: unknown names "rotat" and "miror"', '"rotate" and "mirror"?', "roi"],
        ),
        (ZONE + "knd = 'rest'", 7, ['camera[0].zone[0]: unknown name "knd"', '"kind"', "polygon"]),
        ("rotate = 90", 1, ['unknown name "rotate"; it belongs to [[camera]]']),
        ("[mqtt]\nlevel = 'info'", 2, ["it belongs to [log]"]),
        ("[mqtt]\n\npassword = 'swordfish'", 3, ["mqtt: a password", "mqtt.password_file"]),
        ("[[camera]]\nsource = 'x'", 1, ['camera[0]: no "id"', "expected an id"]),
        # types and ranges
        (CAMERA + "rotate = 45", 4, ["camera[0].rotate = 45: expected 0, 90, 180 or 270 degrees"]),
        (CAMERA + "fps = 0", 4, ["camera[0].fps = 0: expected", "0.1 to 240"]),
        (CAMERA + "fps = nan", 4, ["camera[0].fps = nan: expected a finite number"]),
        (CAMERA + "mirror = 'yes'", 4, ['camera[0].mirror = "yes": expected true or false']),
        (CAMERA + "roi = [0, 0, 1]", 4, ["camera[0].roi", "[x, y, width, height]"]),
        (CAMERA + "roi = [0, 0, 1, 2]", 4, ["camera[0].roi[3] = 2: expected a number from 0 to 1"]),
        ("[model]\nthreads = 1.5", 2, ["model.threads = 1.5: expected a whole number"]),
        ("[model]\npolicy = 'wole'", 2, ["model.policy", '"auto", "follow", "refine" or "whole"']),
        ("[model]\ndelegate = 'tpu'", 2, ["model.delegate", '"edgetpu:usb:0"', "library"]),
        ("[model]\nname = ''", 2, ['model.name = "": expected a text that is not empty']),
        ("[pose]\nmin_pose_score = 1.1", 2, ["pose.min_pose_score = 1.1", "from 0 to 1"]),
        ("[web]\npicture = 1979-05-27", 2, ["web.picture = 1979-05-27: expected true or false"]),
        ("[events]\ngestures = ['wave', 'wink']", 2, ["events.gestures[1]", '"wave"']),
        ("[events]\ngestures = 'wave'", 2, ["events.gestures", "a list, of which each is"]),
        ("mqtt = 3", 1, ["mqtt = 3: expected a table, under a line [mqtt]"]),
        ("camera = 3", 1, ["camera = 3: expected tables, each under a line [[camera]]"]),
        ("[camera]\nid = 'x'", 1, ["expected tables, each under a line [[camera]]"]),
        ("[device]\nid = 'Hall'", 2, ['device.id = "Hall": expected an id', "a to z"]),
        ('[device]\nid = "hall\\n"', 2, ["device.id"]),
        ("[mqtt]\nprotocol = 3", 2, ["mqtt.protocol = 3: expected 5, or 4 for MQTT 3.1.1"]),
        ("[mqtt]\nbase_topic = 'a/#'", 2, ["mqtt.base_topic", "wildcards"]),
        ("[mqtt]\nbase_topic = '/a'", 2, ["mqtt.base_topic"]),
        ("[mqtt]\nbase_topic = '$SYS'", 2, ["mqtt.base_topic"]),
        # conflicting values
        ("[mqtt]\nurl = 'tcp://h'", 2, ['mqtt.url = "tcp://h": expected mqtt://HOST:PORT']),
        ("[mqtt]\nurl = 'embedded:0'", 2, ["mqtt.url"]),
        ("[mqtt]\nca_file = 'ca.pem'", 2, ["mqtt.ca_file", "mqtts://"]),
        ("[mqtt]\nurl='mqtts://h'\nkey_file = 'k'", 3, ["mqtt.key_file", "cert_file"]),
        ("[web]\nlisten = '8600'", 2, ['web.listen = "8600": expected HOST:PORT']),
        ("[web]\nhosts = ['https://pose.example']", 2, ["web.hosts[0]", 'without "https://"']),
        ("[web]\nurl = 'pose.example'", 2, ["web.url", "https://"]),
        ("[web]\ntrusted_proxies = ['proxy']", 2, ["web.trusted_proxies[0]", "IP address"]),
        ("[web]\ntrusted_proxies = ['10.0.0.0/8']", 2, ["trusted_proxies[0]", "10.0.0.0/8"]),
        ("[web]\nkey_file = 'k'", 2, ["web.key_file", "cert_file"]),
        ("[metrics]\nlisten = 'h:99999'", 2, ["metrics.listen"]),
        (CAMERA + CAMERA, 5, ['camera[1].id = "hall": expected another id; camera[0] has']),
        (CAMERA.replace("hall", "status"), 2, ["camera[0].id", "topic of the device"]),
        (ZONE + ZONE.split('://"\n')[1], 8, ["camera[0].zone[1].id", "camera[0].zone[0] has"]),
        (CAMERA + "roi = [0.5, 0, 0.6, 1]", 4, ["camera[0].roi", "at most 1"]),
        (CAMERA + "roi = [0.5, 0, 0, 1]", 4, ["camera[0].roi", "empty"]),
        (CAMERA + "masks = [[[0,0],[1,0]]]", 4, ["camera[0].masks[0]", "three or more corners"]),
        (
            CAMERA + "masks = [\n  [[0,0],[1,0],[1,1]],\n  [[0,0],[1,0],[1,-1]],\n]",
            6,
            ["camera[0].masks[1][2][1] = -1: expected a number from 0 to 1"],
        ),
        (CAMERA + "masks = [[[0,0],[1,1],[1,0],[0,1]]]", 4, ["corners 1 and 3 cross"]),
        (CAMERA + "masks = [[[0,0],[0.5,0.5],[1,1]]]", 4, ["do not lie on one line"]),
        (
            "[[gesture]]\nid = 'bow'\nwhen = ['nose below hipp']",
            1,
            ["gesture[0]: condition 'nose below hipp'", 'did you mean "hip"?'],
        ),
        ("[[gesture]]\nid = 'bow'\nwhen = []", 3, ["gesture[0].when = []: expected a list"]),
        # syntax errors
        ("[mqtt]\nurl = localhost", 2, ["not TOML at column 7", "text needs quotes"]),
        ("[mqtt]\nurl 'x'", 2, ["not TOML", "key = value"]),
        ("[mqtt]\n[mqtt]", 2, ["not TOML", "twice"]),
        ("[mqtt]\nurl = 'a'\nurl = 'b'\n", 3, ["not TOML", "twice"]),
        ("a = [1", None, ["not TOML at the end", "a list ends with ]"]),
        ('a = "x\nb = 1', 1, ["not TOML", "closing quote"]),
        ("a = " + "9" * 5000, None, ["not TOML"]),
        ("a = " + "[" * 5000, None, ["brackets"]),
    ],
)
def test_an_error_says_where_what_and_what_instead(
    text: str, line: int | None, words: list[str]
) -> None:
    """The error has file, line, key, found and expected value; lower case, no final period."""
    said = complaint(text)

    place = f"edgepose.toml:{line}: " if line else "edgepose.toml: "
    assert said.startswith(place)
    for word in words:
        assert word in said
    assert "swordfish" not in said
    assert not said.endswith(".")
    assert "\n" not in said


def test_a_long_value_is_not_repeated_in_full() -> None:
    """A long value is shortened."""
    said = complaint(f"[log]\nlevel = '{'x' * 5000}'")

    assert len(said) < 250


@pytest.mark.parametrize(
    "url", ["ann:swordfish@broker", "http://ann:sword@swordfish@b", "mqtt:ann:swordfish@b"]
)
def test_a_wrong_url_is_shown_without_its_password(url: str) -> None:
    """The password is hidden, also if the URL is invalid."""
    said = complaint(f"[mqtt]\nurl = '{url}'")

    assert "mqtt.url" in said
    assert "sword" not in said


def test_nothing_but_a_config_error_comes_out_of_a_damaged_file() -> None:
    """A random file gives a configuration or one ConfigError."""
    dice = random.Random(5)
    marks = "[ ] [[ ]] = \" ' # { } , . -1 nan 1e400 0x \\ \0 ü"
    pieces = [*WHOLE.splitlines(), *marks.split(" ")]
    texts = [WHOLE, reference.starter("demo://")]
    pieces += ["[[camera]]", "[camera]", "9" * 30, "1979-05-27", "true", "[[[]]]", '"""', "\n"]
    refused = 0

    for _ in range(400):
        text = dice.choice(texts)
        for _ in range(dice.randint(1, 4)):
            start = dice.randrange(len(text))
            end = start + dice.choice([0, 0, 1, 5, 40])
            text = text[:start] + dice.choice(pieces) + text[end:]
        try:
            assert isinstance(loads(text, "x"), Config)
        except ConfigError as error:
            refused += 1
            assert str(error).startswith("x:")

    assert 100 < refused < 400


def test_any_value_in_any_place_is_taken_or_refused_in_words() -> None:
    """Each key with any type of value is accepted, or refused with its name."""
    values = [
        "true",
        "-1",
        "10",
        "1e300",
        "nan",
        "''",
        "'x'",
        "[]",
        "[[]]",
        "[{}]",
        "{}",
        "07:32:00",
    ]
    values += ["9" * 40, "[1]", "['x', 1]", "[[[0,0],[0,0],[0,0]]]", "{id = 1}"]
    refused = 0

    for path in toml.lines(WHOLE):
        name = path[-1]
        if isinstance(name, int) or len(path) < 2:
            continue
        pattern = re.compile(rf"(?m)^( *){name} = .*$")
        for value in values:
            text = pattern.sub(lambda match, new=f"{name} = {value}": match[1] + new, WHOLE)
            try:
                assert isinstance(loads(text, "x"), Config)
            except ConfigError as error:
                refused += 1
                assert str(name) in str(error)

    assert refused > 100


def test_a_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    """Relative paths refer to the file's folder; URIs, names and absolute paths stay."""
    file = tmp_path / "edgepose.toml"
    file.write_text(
        '[mqtt]\npassword_file = "password"\n[model]\nname = "own.tflite"\n'
        '[[camera]]\nid = "a"\nsource = "walk.mp4"\n[[camera]]\nid = "b"\nsource = "demo://"\n'
        '[[camera]]\nid = "c"\nsource = "/dev/video0"\n'
    )

    found = load(file)

    assert found.mqtt.password_file == str(tmp_path / "password")
    assert found.mqtt.ca_file == ""
    assert found.model.name == str(tmp_path / "own.tflite")
    sources = [camera.source for camera in found.cameras]
    assert sources == [str(tmp_path / "walk.mp4"), "demo://", "/dev/video0"]


def test_files_of_windows_editors_are_read(tmp_path: Path) -> None:
    """A byte order mark and CRLF are accepted, and line numbers are correct."""
    file = tmp_path / "edgepose.toml"
    file.write_bytes(b"\xef\xbb\xbf[device]\r\nid = 'a'\r\n[log]\r\nlevel = 'loud'\r\n")

    with pytest.raises(ConfigError, match=r"edgepose\.toml:4: log\.level"):
        load(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a folder or a binary file gives one sentence each."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = 1\nb = '\xff'")

    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file; .*config init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigError, match=r"binary\.toml:2: not UTF-8"):
        load(binary)


def test_the_command_line_stands_over_the_file(tmp_path: Path) -> None:
    """`--source` replaces all cameras, but keeps the settings of a single one."""
    file = tmp_path / "edgepose.toml"
    file.write_text(ZONE)

    found = loading.load_with_overrides(
        file, source="walk.mp4", model="posenet", mqtt="mqtt://other"
    )

    assert [camera.source for camera in found.cameras] == ["walk.mp4"]
    assert found.cameras[0].zones[0].id == "sofa"
    assert (found.model.name, found.mqtt.url) == ("posenet", "mqtt://other")


def test_two_cameras_give_way_to_the_source_of_the_command_line(tmp_path: Path) -> None:
    """With several cameras `--source` takes over no settings."""
    file = tmp_path / "edgepose.toml"
    file.write_text(ZONE + CAMERA.replace("hall", "yard"))

    found = loading.load_with_overrides(file, source="walk.mp4")

    assert found.cameras == (Camera(id="camera", source="walk.mp4"),)


def test_without_any_file_the_defaults_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The default file may be missing; a named one must exist."""
    monkeypatch.setattr(loading, "DEFAULT_FILE", tmp_path / "none.toml")

    assert loading.load_with_overrides(None) == Config()
    with pytest.raises(ConfigError, match=r"no such file; .* or give --source"):
        loading.require_cameras(loading.load_with_overrides(None), tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="no camera"):
        loading.require_cameras(loading.load_with_overrides(None), tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        loading.load_with_overrides(tmp_path / "other.toml")


def test_a_wrong_url_on_the_command_line_is_refused() -> None:
    """An override is checked like the file."""
    with pytest.raises(ConfigError, match=r"command line: mqtt\.url"):
        loading.load_with_overrides(None, mqtt="broker:1883")


def test_another_broker_without_tls_needs_no_certificates(tmp_path: Path) -> None:
    """An override without TLS discards the configured certificates."""
    file = tmp_path / "edgepose.toml"
    file.write_text(WHOLE)

    found = loading.load_with_overrides(file, mqtt="mqtt://localhost")

    assert (found.mqtt.ca_file, found.mqtt.cert_file, found.mqtt.key_file) == ("", "", "")


def test_the_password_comes_from_the_first_place_that_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The order is URL, file, credential, environment variable."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("EDGEPOSE_MQTT_PASSWORD", raising=False)
    assert secrets.login(Config().mqtt)[1] is None

    monkeypatch.setenv("EDGEPOSE_MQTT_PASSWORD", "environment")
    assert secrets.login(Config().mqtt)[1] == "environment"

    (tmp_path / "mqtt-password").write_text("credential\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secrets.login(Config().mqtt)[1] == "credential"

    (tmp_path / "file").write_text(" file with spaces \n")
    mqtt = schema.Mqtt(username="ann", password_file=str(tmp_path / "file"))
    assert secrets.login(mqtt) == ("ann", " file with spaces ")

    url = schema.Mqtt(url="mqtt://bob:url@h", password_file=str(tmp_path / "file"))
    assert secrets.login(url) == ("bob", "url")


def test_a_credential_that_is_out_of_reach_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On Debian 12 `systemctl reload` checks the configuration without access to it."""
    monkeypatch.delenv("EDGEPOSE_MQTT_PASSWORD", raising=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "mqtt-password").write_text("credential\n")
    tmp_path.chmod(0o000)

    user = os.geteuid()
    os.seteuid(UNPRIVILEGED if user == 0 else user)
    try:
        found = secrets.login(Config().mqtt)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)

    assert found[1] is None


def test_a_password_file_that_is_no_use_is_named(tmp_path: Path) -> None:
    """A missing or empty file is reported with key and path."""
    empty = tmp_path / "empty"
    empty.write_text("\n")

    with pytest.raises(ConfigError, match=r"mqtt\.password_file = .*none: cannot be read"):
        secrets.login(schema.Mqtt(password_file=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"empty: the file is empty"):
        secrets.login(schema.Mqtt(password_file=str(empty)))


def test_what_is_shown_holds_no_secret() -> None:
    """Passwords in URLs are hidden; paths of password files are shown."""
    text = "[mqtt]\nurl='mqtt://ann:swordfish@h'\npassword_file='/run/secret'\n" + CAMERA.replace(
        "demo://", "rtsp://ann:swordfish@192.0.2.7/"
    )

    shown = toml.dump(loading.redacted(loads(text, "x")))

    assert "swordfish" not in shown
    assert 'password_file = "/run/secret"' in shown
