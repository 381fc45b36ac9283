"""The daemon's side of the page."""
