"""How well each way of merging finds a known truth: what docs/evidence.md shows.

`truths` makes the worlds, `strategies` the ways of merging, `study` plays them and keeps numbers,
`page` and `pictures` tell them. Nothing is ever tuned on the seeds of the study.
"""
