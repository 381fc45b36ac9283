"""The bundled clip: two people, for a first look without a camera."""

from importlib.resources import as_file, files

from edgepose.sources import Address, Settings
from edgepose.sources.files import VideoSource


class DemoSource(VideoSource):
    """The clip over and over; once with ``demo://?loop=0`` or where the caller wants an end."""

    def __init__(self, address: Address, settings: Settings) -> None:
        address.check(("loop",))
        if address.path:
            raise address.error(f'found "{address.path}" behind the scheme; expected nothing')
        loop = address.flag("loop", default=True) and not settings.once
        with as_file(files("edgepose") / "data" / "demo.mp4") as path:
            super().__init__(path, settings, loop=loop)
