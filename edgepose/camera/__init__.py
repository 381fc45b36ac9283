"""Sources of pictures, and a camera at work."""
