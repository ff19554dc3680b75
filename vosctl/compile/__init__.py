"""Site × Node → Desired, purely: the same input gives the same bytes."""
