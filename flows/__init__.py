"""The Prefect flows: what runs, and when. Run from the checkout, never installed."""
