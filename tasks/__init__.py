"""Provide thin Prefect tasks, one stage a file.

A task fetches, calls one pure function of hyperfed and returns.
"""
