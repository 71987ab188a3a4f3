"""Observers in Python: a probe gets the records of this node's bricks, and makes metrics of them.

A probe is a file of the administrator's with one subclass of :class:`Probe`. It runs outside the
bricks, in a process of its own, so it can neither slow nor break a brick or the exporter.
"""

from glupy_exporter.probes.base import Counter, Gauge, Probe

__all__ = ["Counter", "Gauge", "Probe"]
