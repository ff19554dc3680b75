"""Hosts, groups, patterns and playbooks, in Ansible's shapes."""
