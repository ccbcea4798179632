"""Hold the commands of an operator and an auditor."""
