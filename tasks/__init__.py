"""Thin Prefect tasks, one stage a file: fetch, call one pure function of hyperfed, return."""
