"""Draw pictures of a round as SVG text, without a dependency."""
