"""Tests of made-up values take the time that the machine needs."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("hypothesis"):  # not on other releases of Debian
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")
