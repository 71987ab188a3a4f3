"""The model of a node, which `top`, the API and /metrics share."""
