"""What schemas and cross checks find wrong, in the operator's words."""
