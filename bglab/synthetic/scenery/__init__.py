"""Scenery: brushes and textures, and the landscapes, habitats and plates painted with them."""
