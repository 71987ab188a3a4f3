"""Real bricks on this machine."""
