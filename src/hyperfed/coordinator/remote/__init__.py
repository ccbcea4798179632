"""Merge a round in key ranges on other machines, through sealed scratch in the drop-box."""
