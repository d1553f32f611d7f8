"""What `docs/build.py` makes of the package: pages of its names, its commands, its notebooks and the papers."""
