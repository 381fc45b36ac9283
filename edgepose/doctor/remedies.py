"""Shell commands that several checks recommend."""

from typing import Final

JOURNAL: Final = "sudo journalctl -u edgepose -n 20"
RESTART: Final = "sudo systemctl restart edgepose"
RESET: Final = "sudo systemctl reset-failed edgepose"
"""Needed before `RESTART` after too many failed starts."""

RUNNING: Final = (
    "if edgepose is running, it uses the device: sudo systemctl stop edgepose, then try again"
)
