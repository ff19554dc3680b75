"""The packet filter: a node's policy to typed rules, and those to iptables' and ipset's own input."""
