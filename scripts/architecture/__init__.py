"""The rooms of `hyperfed` as its code has them: what `draw_architecture.py` draws and checks."""
