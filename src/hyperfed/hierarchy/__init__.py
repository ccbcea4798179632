"""Merges in two layers, takes late updates, and limits how much one party may weigh."""
