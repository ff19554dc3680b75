"""From a checked site to what each node should be: pure, so that the same site gives the same bytes."""
