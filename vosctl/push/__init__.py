"""Brings plans to nodes: transports, the agent's exchange, commit-confirm, many nodes at once."""
