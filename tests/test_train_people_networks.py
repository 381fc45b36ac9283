"""The training script: it runs end to end, and the shipped networks have its shapes."""

from pathlib import Path

import numpy as np
import pytest

import edgepose
from tools import train_people_networks as training

SHIPPED = Path(edgepose.__file__).parent / "data"
NAMES = ("falls.npz", "postures.npz")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_scenes_give_the_same_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short run writes both files, twice alike, for the inputs of those shipped."""
    monkeypatch.setattr(training, "BATCH", 20)
    written = []
    for run in ("first", "second"):
        folder = tmp_path / run
        folder.mkdir()
        monkeypatch.setattr(training, "DATA", folder)
        training.fit(training.collect(40), epochs=1)
        written.append([dict(np.load(folder / name)) for name in NAMES])

    shipped = [dict(np.load(SHIPPED / name)) for name in NAMES]
    for one, other in zip(*written, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert written[0][0]["weights0"].shape[0] == shipped[0]["weights0"].shape[0]
    assert {k: v.shape for k, v in written[0][1].items()} == {
        k: v.shape for k, v in shipped[1].items()
    }
