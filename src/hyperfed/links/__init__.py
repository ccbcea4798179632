"""Let clients without a cloud account take part, by presigned URLs.

The coordinator issues the URLs, and the client follows them.
"""
