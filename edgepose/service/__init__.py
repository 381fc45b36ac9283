"""The daemon: wiring, cameras, inference, reload, status."""
