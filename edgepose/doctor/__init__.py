"""Checks of camera, model, broker and machine."""
