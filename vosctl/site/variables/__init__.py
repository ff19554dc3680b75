"""The layers of variables, how they merge, and which one won."""
