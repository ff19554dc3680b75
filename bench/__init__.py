"""Every performance claim of the project, as something anyone can run."""
