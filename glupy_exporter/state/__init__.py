"""Learns the state of a node from files and /proc. Root's timer writes it for the exporter."""
