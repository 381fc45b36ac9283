"""TFLite files: description, verification, catalogue and download."""
