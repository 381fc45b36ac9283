"""Deprecated: use the names of `edgepose` itself."""

from edgepose import registry

__getattr__ = registry.moved(__name__, "edgepose.mqtt.messages")
