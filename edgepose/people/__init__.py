"""From poses to people over time and to events."""
