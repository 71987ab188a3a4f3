"""The model of a node: what `top`, the API and /metrics share."""
