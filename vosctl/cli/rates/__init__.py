"""``vosctl rates``: a module for each question about what calls earn and cost."""
