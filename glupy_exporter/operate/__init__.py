"""The translator: its C core, what generates and builds it, and what puts it into bricks."""
