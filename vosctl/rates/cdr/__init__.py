"""Reads CDRs of any switch into calls as ``vosctl.rates.engine`` takes them; nothing is dropped without a word."""
