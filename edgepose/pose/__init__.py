"""Pose estimation: from images to poses."""
