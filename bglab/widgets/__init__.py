"""Widgets: what a reader drags and clicks; they compute nothing that a function could not."""
