"""Read, list and copy what lies in the drop-box, as verified values, and keep scratch in it."""
