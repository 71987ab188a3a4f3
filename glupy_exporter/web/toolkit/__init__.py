"""Serves HTTP, and knows nothing of GlusterFS."""
