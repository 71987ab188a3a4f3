"""`glupy-exporter top` shows what the bricks of this node are doing right now."""
