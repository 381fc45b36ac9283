"""The daemon: wiring, cameras, inference, reload and status."""
