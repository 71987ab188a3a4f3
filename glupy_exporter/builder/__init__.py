"""Builds the translator from what GlusterFS's headers declare."""
