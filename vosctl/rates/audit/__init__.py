"""What is wrong, or looks wrong, in decks and between them: each finding with its place and what to do."""
