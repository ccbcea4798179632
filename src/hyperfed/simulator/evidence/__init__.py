"""Measure how well each way of merging finds a known truth, as docs/evidence.md shows it.

`truths` makes the worlds, `strategies` the ways of merging, `study` plays them and keeps numbers,
`page` and `pictures` show them. Nothing is ever tuned on the seeds of the study.
"""
