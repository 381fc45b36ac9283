"""Shell commands that several checks recommend."""

from typing import Final

JOURNAL: Final = "sudo journalctl -u edgepose -n 20"
RESTART: Final = "sudo systemctl restart edgepose"
RUNNING: Final = (
    "if edgepose is running, it uses the device: sudo systemctl stop edgepose, then try again"
)
