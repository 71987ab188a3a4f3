"""Probes to use as they are, or to begin with: copy one to the directory of probes."""
