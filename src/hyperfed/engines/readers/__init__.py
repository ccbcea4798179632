"""Read data and finished edges, from files and frames, for engines."""
