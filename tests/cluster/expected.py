"""What clients and operators are promised."""

from __future__ import annotations

PING_TIMEOUT = 10
"""Seconds after which a client and bricks give up a node that does not answer."""

GAP = 8.0
"""Seconds that a client may wait while nothing is taken from it by force: less than the time-out,
which would have passed if a brick had gone without closing its connections. Four machines share two
processors here."""

NODE_LOST_GAP = 2 * PING_TIMEOUT + GAP
"""The same when a node goes without a word: clients ask it that often, and wait that long."""

DISABLE_GAP = 30.0
"""The same while the volume is stopped, reset and started."""

NODE_ALERTS = ("GlupyNodeDown",)
"""What fires when a node is gone that has bricks with the translator."""
