"""Reports over rated calls: expressions that any engine of ibis can run, and exact figures made of what comes back."""
