"""The node side of a push: stdlib only, Python 3.9, one archive that travels over the SSH connection."""
