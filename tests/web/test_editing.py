"""Changing the configuration file: the requested changes are made, all else stays."""

import difflib
import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepose.config import reference
from edgepose.config.loading import Origin
from edgepose.web.editing import (
    ConfigChanges,
    Editor,
    InvalidChanges,
    ReadOnlyConfig,
    RevisionConflict,
    changed,
    revision,
)

FILE = """\
# our house
[device]
id = "pi"  # as on its label

# the hall
[[camera]]
  id = "hall" # first
  source = "demo://"
  # the screw came loose
  rotate = 0   # degrees
  masks = [
    [[0, 0], [0.2, 0], [0.2, 0.3]],  # window
    # next door
    [[0.5, 0.5], [0.7, 0.5], [0.7, 0.8]],  # neighbour
  ]

  # where we sit
  [[camera.zone]]
  id = "sofa"
  polygon = [[0.1,0.5],[0.6,0.5],[0.6,1.0],[0.1,1.0]] # wide
  kind = "rest"

  # who comes
  [[camera.zone]]
  id = "door"
  polygon = [[0.7, 0.5], [0.9, 0.5], [0.9, 1.0]]

# the yard, in rain
[[camera]]
id = "yard"
source = "demo://"

# last words
[events]
fall = true
"""
SOFA = {"id": "sofa", "kind": "rest", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0], [0.1, 1.0]]}
DOOR = {"id": "door", "kind": "area", "polygon": [[0.7, 0.5], [0.9, 0.5], [0.9, 1.0]]}
BED = {"id": "bed", "kind": "rest", "polygon": [[0, 0], [0.5, 0], [0.5, 0.5]]}


def change(text: str, **cameras: Any) -> str:
    """Change cameras by their ids."""
    changes = msgspec.convert({"cameras": cameras}, ConfigChanges)
    return changed(text.encode(), changes).decode()


def difference(old: str, new: str) -> list[str]:
    """Return the lines that were removed and added."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [line for line in lines if line[0] in "+-"]


def comments(text: str) -> list[str]:
    """Return the comments of a file."""
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def test_a_value_changes_and_its_line_stays() -> None:
    """The rest of the line, including its comment and spacing, stays."""
    new = change(FILE, hall={"rotate": 90})

    assert difference(FILE, new) == ["-   rotate = 0   # degrees", "+   rotate = 90   # degrees"]


def test_a_moved_corner_is_all_that_changes() -> None:
    """The other corners keep their formatting."""
    moved = [*SOFA["polygon"][:3], [0.25, 1.0]]

    new = change(FILE, hall={"zones": [SOFA | {"polygon": moved}, DOOR]})

    (old_line, new_line) = difference(FILE, new)
    assert old_line[2:].replace("[0.1,1.0]", "[0.25,1.0]") == new_line[2:]


def test_a_key_that_was_not_there_comes_after_the_others() -> None:
    """It comes before the comments of the next table."""
    new = change(FILE, hall={"mirror": True}, yard={"rotate": 180})

    assert difference(FILE, new) == ["+   mirror = true", "+ rotate = 180"]
    assert "# next door" in new.partition("mirror")[0]
    assert new.index("rotate = 180") < new.index("# last words")


def test_what_is_as_it_was_is_not_written() -> None:
    """Unchanged values and absent defaults are not written."""
    same = {"rotate": 0, "mirror": False, "roi": [0, 0, 1, 1], "zones": [DOOR, SOFA]}

    assert change(FILE, hall=same) == FILE


def test_a_zone_is_added_after_its_cameras_others() -> None:
    """It comes before the next camera's comment, with the file's indentation."""
    new = change(FILE, hall={"zones": [SOFA, BED, DOOR]}, yard={"zones": [BED]})

    told = tomllib.loads(new)["camera"]
    assert [zone["id"] for zone in told[0]["zone"]] == ["sofa", "door", "bed"]
    assert told[0]["zone"][2] == told[1]["zone"][0] == BED
    assert '\n\n  [[camera.zone]]\n  id = "bed"\n' in new
    assert "\n\n# the yard, in rain\n[[camera]]\n" in new
    assert all(line.startswith("+") for line in difference(FILE, new))


def test_zones_are_taken_out_and_comments_stay() -> None:
    """Removing a zone keeps the comments on other lines; the last zone may be removed, too."""
    one = change(FILE, hall={"zones": [DOOR]})
    none = change(FILE, hall={"zones": []})

    assert [zone["id"] for zone in tomllib.loads(one)["camera"][0]["zone"]] == ["door"]
    assert "zone" not in tomllib.loads(none)["camera"][0]
    assert comments(one) == [text for text in comments(FILE) if text != " wide"]
    assert comments(none) == comments(one)


def test_a_zone_with_another_name_stays_where_it_is() -> None:
    """A renamed zone is recognised by its polygon, a changed one by its name."""
    new = change(FILE, hall={"zones": [SOFA | {"id": "couch"}, DOOR]})

    assert difference(FILE, new) == ['-   id = "sofa"', '+   id = "couch"']


def test_masks_keep_the_comments_of_those_that_stay() -> None:
    """Comments stay when a mask is added, changed or removed."""
    window = [[0, 0], [0.2, 0], [0.2, 0.3]]
    neighbour = [[0.5, 0.5], [0.7, 0.5], [0.7, 0.8]]
    other = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.3], [0.1, 0.3]]

    added = change(FILE, hall={"masks": [window, other, neighbour]})
    gone = change(FILE, hall={"masks": [neighbour]})
    none = change(FILE, hall={"masks": []})

    assert tomllib.loads(added)["camera"][0]["masks"] == [window, other, neighbour]
    assert comments(added) == comments(FILE)
    assert tomllib.loads(gone)["camera"][0]["masks"] == [neighbour]
    assert comments(gone) == [text for text in comments(FILE) if text != " window"]
    assert tomllib.loads(none)["camera"][0]["masks"] == []


def test_thresholds_get_a_table_where_there_is_none() -> None:
    """A missing table is appended; an existing one is used, in whichever notation."""
    asked = msgspec.convert({"pose": {"min_pose_score": 0.4}}, ConfigChanges)
    dotted = "pose.max_people = 3 # few\n" + FILE
    switched_off = FILE + "\n[pose]\n#min_pose_score = 0.25\n\n#max_people = 6\n"

    made, kept, on = (
        changed(text.encode(), asked).decode() for text in (FILE, dotted, switched_off)
    )

    assert made == FILE + "\n[pose]\nmin_pose_score = 0.4\n"
    assert difference(dotted, kept) == ["+ pose.min_pose_score = 0.4"]
    assert "#min_pose_score = 0.25\nmin_pose_score = 0.4\n" in on


def test_a_file_that_config_init_wrote_stays_one_to_switch_on() -> None:
    """New values come below the commented-out default, whose explanation still applies."""
    old = reference.starter("demo://")
    zones = {"rotate": 90, "mirror": True, "masks": [BED["polygon"]], "zones": [SOFA]}

    new = change(old, camera=zones)

    assert "#rotate = 0\nrotate = 90\n" in new
    assert all(line.startswith("+") for line in difference(old, new))
    on = new.replace("#fps = 10.0", "fps = 11.0").replace("#realtime", "realtime")
    assert tomllib.loads(on)["camera"][0]["fps"] == 11


@pytest.mark.parametrize("text", [FILE.replace("\n", "\r\n"), "\ufeff" + FILE, FILE[:-1]])
def test_files_of_other_editors_stay_as_they_are(text: str) -> None:
    """Line ends, a byte order mark and a missing final newline are kept."""
    new = change(text, hall={"rotate": 90, "zones": [SOFA]}, yard={"mirror": True})

    assert new.startswith("\ufeff") is text.startswith("\ufeff")
    assert ("\r\n" in text) is ("\r\n" in new)
    assert new.count("\r\n") in {0, new.count("\n")}
    assert tomllib.loads(new.removeprefix("\ufeff"))["camera"][1]["mirror"] is True


def test_zones_on_one_line_are_changed_there() -> None:
    """Zones as inline tables are changed in place."""
    old = (
        '[[camera]]\nid = "a" # a\nsource = "demo://"\nzone = [\n'
        '  {id = "x", polygon = [[0, 0], [1, 0], [1, 1]]}, # one\n'
        '  {id = "y", polygon = [[0, 0], [1, 0], [0, 1]]}, # two\n]\n'
    )
    x = {"id": "x", "polygon": [[0, 0], [1, 0], [1, 1]]}

    less = change(old, a={"zones": [x]})
    more = change(old, a={"zones": [x, {"id": "y", "polygon": [[0, 0], [1, 0], [0, 1]]}, BED]})

    assert tomllib.loads(less)["camera"][0]["zone"] == [x]
    assert tomllib.loads(more)["camera"][0]["zone"][2] == BED
    assert "# one" in less
    assert "# two" in more


def test_what_cannot_be_changed_piece_by_piece_is_refused() -> None:
    """A file whose structure cannot be edited raises ReadOnlyConfig."""
    for text in ('camera = [{id = "a", source = "demo://"}]\n',):
        with pytest.raises(ReadOnlyConfig, match="by hand"):
            change(text, a={"rotate": 90, "zones": [BED]})


def test_each_problem_is_told_where_it_is() -> None:
    """Problems are those of `config check`, with ids instead of indices."""
    crossed = {"id": "bed", "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}

    with pytest.raises(InvalidChanges) as found:
        change(FILE, hall={"roi": [0, 0, 1, 0], "zones": [SOFA, crossed]})

    told = {problem["where"]: problem["text"] for problem in found.value.problems}
    assert told.keys() == {"camera.hall.roi", "camera.hall.zone.bed.polygon"}
    assert "cross" in told["camera.hall.zone.bed.polygon"]
    assert not any("camera[" in text for text in told.values())


@pytest.mark.parametrize(
    ("camera", "where"),
    [
        ({"rotate": 45}, "camera.hall.rotate"),
        ({"rotate": None}, "camera.hall.rotate"),
        ({"masks": [[[0, 0], [1, 1]]]}, "camera.hall.masks.0"),
        ({"masks": "all"}, "camera.hall.masks"),
        ({"zones": [{"id": "a"}]}, "camera.hall.zone.a"),
        ({"zones": [{"polygon": BED["polygon"]}]}, "camera.hall.zone.0"),
        ({"zones": [BED | {"id": "The Bed"}]}, "camera.hall.zone.The Bed.id"),
        ({"zones": [BED | {"colour": "red"}]}, "camera.hall.zone.bed"),
        ({"zones": [BED, BED]}, "camera.hall.zone.bed.id"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(camera: dict[str, Any], where: str) -> None:
    """The error names the invalid value's place."""
    with pytest.raises(InvalidChanges) as found:
        change(FILE, hall=camera)

    assert found.value.problems[0]["where"].startswith(where)


def test_a_camera_that_is_not_there_is_refused() -> None:
    """An unknown camera is refused: it may have been renamed meanwhile."""
    with pytest.raises(InvalidChanges) as found:
        change(FILE, kitchen={"rotate": 90})

    assert found.value.problems[0]["where"] == "camera.kitchen"


class TestFile:
    """The file on disk."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        made = tmp_path / "edgepose.toml"
        made.write_text(FILE)
        return made

    def editor(self, file: Path, **words: str) -> Editor:
        return Editor(msgspec.json.encode(Origin(file=str(file), **words)))

    def turned(self, degrees: int) -> ConfigChanges:
        return msgspec.convert({"cameras": {"hall": {"rotate": degrees}}}, ConfigChanges)

    def test_it_is_replaced_as_a_whole_with_the_old_one_beside_it(self, file: Path) -> None:
        """Permissions are kept, no temporary file is left, and the new revision is returned."""
        file.chmod(0o640)
        editor = self.editor(file)

        new = editor.save(self.turned(90), editor.look()["revision"])

        assert {path.name for path in file.parent.iterdir()} >= {file.name, f"{file.name}.bak"}
        assert not list(file.parent.glob("*.new"))
        assert file.with_name("edgepose.toml.bak").read_text() == FILE
        assert tomllib.loads(file.read_text())["camera"][0]["rotate"] == 90
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert new == revision(file.read_bytes()) == editor.look()["revision"]

    def test_who_comes_second_is_told(self, file: Path) -> None:
        """A save based on an old revision raises RevisionConflict and writes nothing."""
        first, second = self.editor(file), self.editor(file)
        seen = first.look()["revision"]
        now = first.save(self.turned(90), seen)

        with pytest.raises(RevisionConflict) as found:
            second.save(self.turned(180), seen)

        assert found.value.revision == now
        assert tomllib.loads(file.read_text())["camera"][0]["rotate"] == 90

    def test_nothing_new_writes_nothing(self, file: Path) -> None:
        """Without a change neither the file nor a backup is written."""
        editor = self.editor(file)

        editor.save(self.turned(0), editor.look()["revision"])

        assert not file.with_name("edgepose.toml.bak").exists()

    def test_a_link_leads_to_the_file(self, file: Path) -> None:
        """A symbolic link is kept and its target is changed."""
        link = file.with_name("link.toml")
        link.symlink_to(file)
        editor = self.editor(link)

        editor.save(self.turned(90), editor.look()["revision"])

        assert link.is_symlink()
        assert "rotate = 90" in file.read_text()

    def test_what_is_not_good_shows_what_was(self, file: Path) -> None:
        """An invalid file is shown as last loaded, read-only, with the reason."""
        editor = self.editor(file)
        before = editor.look()
        file.write_text(FILE.replace("rotate = 0", "rotat = 0"))

        after = editor.look()

        assert (before["editable"], before["why_not"]) == (True, None)
        assert after["cameras"] == before["cameras"]
        assert not after["editable"]
        assert "rotat" in after["why_not"]

    def test_what_is_not_in_the_file_cannot_be_edited(self, file: Path, tmp_path: Path) -> None:
        """A camera from the command line or a missing file is read-only, with the reason."""
        elsewhere = self.editor(file, source="demo://").look()
        nowhere = self.editor(tmp_path / "nothing.toml").look()

        assert "command line" in elsewhere["why_not"]
        assert "no configuration file" in nowhere["why_not"]

    def test_no_secret_is_shown(self, file: Path) -> None:
        """The password of a source is not part of the answer."""
        file.write_text(FILE.replace("demo://", "rtsp://ann:swordfish@192.0.2.7/live", 1))

        shown = self.editor(file).look()

        assert "swordfish" not in str(shown)
        assert "192.0.2.7" in shown["cameras"][0]["source"]


def test_lines_and_floor_come_and_go() -> None:
    """They are added below their camera; after their removal the data is as before."""
    line = {"id": "gate", "name": "Tor", "points": [[0.1, 0.9], [0.9, 0.9]], "sides": ["a", "b"]}
    floor = {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "size": [2, 3.5], "metres": []}
    before = tomllib.loads(FILE)

    text = change(FILE, hall={"name": "Flur", "lines": [line], "floor": floor})
    after = tomllib.loads(text)["camera"][0]
    again = change(text, hall={"name": "", "lines": [], "floor": floor | {"points": []}})

    assert after["name"] == "Flur"
    assert after["line"] == [line]
    assert after["floor"] == {"points": floor["points"], "size": [2, 3.5]}
    assert all(each in text for each in FILE.splitlines())
    left = tomllib.loads(again)
    assert left["camera"][0].pop("name") == ""
    assert left == before


def test_a_renamed_line_keeps_what_the_page_does_not_know() -> None:
    """Order, comments and keys unknown to the page are kept."""
    own = (
        '  [[camera.line]]\n  id = "gate" # iron\n  points = [[0, 0.9], [1, 0.9]]\n'
        '  [[camera.line]]\n  id = "path"\n  points = [[0, 0.8], [1, 0.8]]\n'
    )
    file = FILE.replace("# the yard, in rain", own + "# the yard, in rain")
    lines = [
        {"id": "gate", "name": "Tor", "points": [[0, 0.9], [1, 0.9]], "sides": ["left", "right"]},
        {"id": "path", "name": "", "points": [[0, 0.7], [1, 0.8]], "sides": ["left", "right"]},
    ]

    text = change(file, hall={"lines": lines})

    assert tomllib.loads(text)["camera"][0]["line"] == [
        {"id": "gate", "name": "Tor", "points": [[0, 0.9], [1, 0.9]]},
        {"id": "path", "points": [[0, 0.7], [1, 0.8]]},
    ]
    assert "# iron" in text


def test_places_of_the_floor_replace_its_size() -> None:
    """`metres` replaces `size`: only keys with an effect are written."""
    metres = [[0, 0], [1, 0], [2, 2], [0, 2]]
    floor = {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], "size": [1, 1], "metres": metres}

    text = change(FILE, hall={"floor": floor})

    assert tomllib.loads(text)["camera"][0]["floor"] == {
        "points": floor["points"],
        "metres": metres,
    }


def test_too_many_lines_are_refused() -> None:
    """More than 100 lines are refused."""
    line = {"points": [[0, 0], [1, 1]]}
    many = [line | {"id": f"l{number}"} for number in range(101)]

    with pytest.raises(InvalidChanges, match="at most 100"):
        change(FILE, hall={"lines": many})
