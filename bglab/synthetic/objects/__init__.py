"""Objects: outlines, silhouettes, coats, and the creatures and things made of them."""
