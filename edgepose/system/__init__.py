"""This machine: storage, logs, systemd, process, hardware, sockets, threads."""
