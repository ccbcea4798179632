"""The pages of docs/reference, made from the code: one page a module."""
