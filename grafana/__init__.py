"""The dashboards: ``*.dashboard.py``, and what they are made of."""
