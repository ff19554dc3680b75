"""Money: what a call costs, what is earned on it, and which vendors may carry it."""
