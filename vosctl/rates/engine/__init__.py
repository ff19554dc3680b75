"""Rates calls by the million in DuckDB, to the same last digit as one call by ``vosctl.rates.billing.charge``."""
