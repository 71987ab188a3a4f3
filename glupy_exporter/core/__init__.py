"""The translator's data plane, in C."""
