"""Everything between messages and the broker."""
