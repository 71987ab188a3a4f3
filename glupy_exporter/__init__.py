"""Per-fop, per-file and per-client metrics of GlusterFS bricks for Prometheus."""

__version__ = "0.1.0"
