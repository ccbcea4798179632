"""Merge in two layers, take late updates, and limit how much one party may weigh."""
