"""From YAML to a checked, typed Site: the only place where what operators write is read."""
