"""HTTP: /metrics, health, and a page that lists this node's bricks."""
