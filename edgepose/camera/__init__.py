"""Image sources, and the threads that process one camera."""
