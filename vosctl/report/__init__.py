"""What people and programs see: problems, plans, progress, recap, status; nothing here decides."""
