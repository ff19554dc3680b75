"""Answers of ``vosctl rates`` for people and for programs."""
