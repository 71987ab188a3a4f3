"""What root's timer learns about a node from files and /proc, for the exporter's state file."""
