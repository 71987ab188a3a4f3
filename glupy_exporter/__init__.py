"""Per-fop, per-file and per-client metrics of GlusterFS bricks for Prometheus."""

__version__ = "0.2.0.dev0"
