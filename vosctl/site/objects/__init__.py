"""Merged variables to the typed objects of vosctl.site.model."""
