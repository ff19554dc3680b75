"""What a new deck changes, prefix by prefix, and what that is in money for calls that were made."""
