"""Our calls beside a vendor's bill: which are the same, and what differs of those and of the others."""
