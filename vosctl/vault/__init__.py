"""Secrets in YAML files: leaves encrypted one by one, readable and mergeable in git (docs/vault-format.md)."""
