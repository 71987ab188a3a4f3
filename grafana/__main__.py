"""Writes a dashboard as JSON: ``python -m grafana SOURCE.dashboard.py -o FILE``.

This is grafanalib's command ``generate-dashboard``, which as a module finds this package.
"""

from grafanalib._gen import generate_dashboard_script

generate_dashboard_script()
