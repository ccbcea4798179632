"""Hold the commands that run a federation on this machine."""
