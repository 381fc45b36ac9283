"""An RTSP camera by GStreamer's server; run by the system's Python, which has its bindings.

``rtsp.py PORT [CODEC [USER PASSWORD]]`` serves ``/camera`` on loopback, in ``h264`` or
``mjpeg``, in an unknown codec (``unknown``) or in another than it announces (``lying``):
red, 320 x 240, 15 pictures a second. SIGUSR1 stops the pictures and keeps the connection
open. ``--check`` only reports by its exit code whether all dependencies are installed.
"""

import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CODECS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0",
    "unknown": "jpegenc ! rtpjpegpay pt=96 ! capssetter name=pay0"
    " caps=application/x-rtp,encoding-name=(string)X-NEW",
    "lying": "jpegenc ! rtpjpegpay pt=96 ! capssetter name=pay0"
    " caps=application/x-rtp,encoding-name=(string)H264",
}
PICTURES = (
    "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=15/1"
    " ! valve name=valve ! videoconvert ! video/x-raw,format=I420"
)


def protect(server, factory, user, password):  # noqa: ANN001, ANN201  GStreamer has no types
    """Require a user name and a password."""
    known = GstRtspServer.RTSPToken()
    known.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), known)
    server.set_auth(auth)
    allowed = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        allowed.add_permission_for_role("user", f"media.factory.{right}", True)
    factory.set_permissions(allowed)


def main(port, codec="h264", *login):  # noqa: ANN001, ANN002, ANN201
    """Serve until killed."""
    valves = []
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURES} ! {CODECS[codec]} )")
    factory.set_shared(True)
    factory.connect(
        "media-configure",
        lambda _, media: valves.append(media.get_element().get_by_name("valve")),
    )
    if login:
        protect(server, factory, *login)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    GLib.unix_signal_add(
        GLib.PRIORITY_DEFAULT,
        signal.SIGUSR1,
        lambda: all(valve.set_property("drop", True) is None for valve in valves),
    )
    GLib.MainLoop().run()


Gst.init(None)
if sys.argv[1] == "--check":
    sys.exit(
        not all(Gst.ElementFactory.find(name) for name in ("x264enc", "rtpjpegpay", "capssetter"))
    )
main(*sys.argv[1:])
