"""From a picture to poses."""
