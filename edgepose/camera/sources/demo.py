"""The bundled clip with two people, to try edgepose without a camera."""

from functools import partial
from pathlib import Path
from typing import Final

from edgepose.camera.sources import SourceAddress, SourceSettings
from edgepose.camera.sources.files import VideoSource
from edgepose.camera.sources.films import open_film

CLIP: Final = Path(__file__).parents[2] / "data" / "demo.mp4"


class DemoSource(VideoSource):
    """Plays the clip in a loop; once with ``demo://?loop=0`` or the setting `once`."""

    def __init__(self, address: SourceAddress, settings: SourceSettings) -> None:
        address.check(("loop",))
        if address.path:
            raise address.error(f'found "{address.path}" behind the scheme; expected nothing')
        loop = address.flag("loop", default=True) and not settings.once
        super().__init__(CLIP, settings, partial(open_film, CLIP), loop=loop)
