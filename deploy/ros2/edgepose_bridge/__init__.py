"""People that edgepose sees, as ROS 2 messages."""
