"""Settings of Sphinx for the site that `make docs` builds; `docs/build.py` assembles the pages it reads."""

from __future__ import annotations

import sys
from pathlib import Path

# the pages are those of this checkout, wherever bglab is installed from
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import bglab
from _generate.theme import DARK, LIGHT

project = "bglab"
author = "the authors of bglab"
version = release = bglab.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "_generate.references"]
exclude_patterns = ["**.ipynb_checkpoints"]

# docstrings: Google style, and a name in backticks is a reference
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# notebooks are executed already (`_generate.notebooks`); Markdown has the extensions that the pages use
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "bglab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": LIGHT,
    "dark_css_variables": DARK,
    "footer_icons": [],
}
pygments_style = "friendly"
pygments_dark_style = "native"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
