"""Provide the tables of updates and merged models, and the vocabulary that they refer to."""
