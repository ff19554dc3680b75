"""What compiled rules do to all packets at once: rules that nothing reaches, and what differs between two revisions."""
