"""The bundled clips, to try edgepose without a camera: two people, and a fall."""

from functools import partial
from pathlib import Path
from typing import Final

from edgepose.camera.sources import SourceAddress, SourceSettings
from edgepose.camera.sources.files import VideoSource
from edgepose.camera.sources.films import open_film

DATA: Final = Path(__file__).parents[2] / "data"
CLIPS: Final = {"": DATA / "demo.mp4", "fall": DATA / "demo_fall.mp4"}
"""From the word behind the scheme to the clip."""


class DemoSource(VideoSource):
    """Plays a clip in a loop; once with ``demo://?loop=0`` or the setting `once`."""

    def __init__(self, address: SourceAddress, settings: SourceSettings) -> None:
        address.check(("loop",))
        clip = CLIPS.get(address.path)
        if clip is None:
            raise address.error(
                f'found "{address.path}" behind the scheme; expected nothing or fall'
            )
        loop = address.flag("loop", default=True) and not settings.once
        super().__init__(clip, settings, partial(open_film, clip), loop=loop)
