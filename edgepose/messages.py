"""Deprecated; use the public names of `edgepose`."""

from edgepose import registry

__getattr__ = registry.moved(__name__, "edgepose.mqtt.messages")
