"""Colours of the site: those of the figures, and of the widgets in the dark."""

from __future__ import annotations

from bglab.figures.theme import COLORS

_OURS, _PUBLISHED = COLORS["ours"], COLORS["published"]

# the fonts of the reader's machine: the site loads nothing from elsewhere
_SHARED = {
    "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif",
    "font-stack--monospace": "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace",
    "api-font-size": "0.875rem",
}

LIGHT = _SHARED | {
    "color-brand-primary": "#00557F",
    "color-brand-content": "#00659E",
    "color-brand-visited": "#5A4480",
    "bglab-ours": _OURS,
    "bglab-published": _PUBLISHED,
    "bglab-published-text": "#A34700",
    "bglab-published-ground": "#FFF4EC",
}

DARK = {
    "color-brand-primary": COLORS["no_fg"],
    "color-brand-content": COLORS["no_fg"],
    "color-brand-visited": "#B9A6E0",
    "bglab-ours": COLORS["no_fg"],
    "bglab-published": "#F0924C",
    "bglab-published-text": "#F0924C",
    "bglab-published-ground": "#2A1E16",
}
