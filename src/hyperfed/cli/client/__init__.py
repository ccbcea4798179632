"""Hold the commands of a client."""
