"""Scenery: brushes, surfaces, and the sceneries and plates painted with them."""
