"""YAML text to a tree of values with marks; what is wrong with the text itself."""
