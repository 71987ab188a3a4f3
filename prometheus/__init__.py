"""Rules for Prometheus: those in ``rules``, and what ``rules-native`` has in their place."""
