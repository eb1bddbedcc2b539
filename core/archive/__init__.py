"""Satellite archives: STAC catalogues, their items, what to read from them."""
