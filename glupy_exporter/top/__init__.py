"""`glupy-exporter top`: what the bricks of this node are doing right now."""
