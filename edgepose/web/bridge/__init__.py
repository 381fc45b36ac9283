"""Connects the daemon to the page process."""
