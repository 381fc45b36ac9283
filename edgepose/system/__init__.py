"""Access to the machine: storage, logs, systemd, processes, hardware, sockets, threads."""
