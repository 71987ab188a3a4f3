"""The commands on volumes: they install the translator, put it into bricks and take it out."""
