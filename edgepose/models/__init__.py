"""TFLite files: what they hold, whether they are whole, and where they come from."""
