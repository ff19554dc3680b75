"""Route tables: from decks, vendors and guards to the file that a proxy reads, and back."""
