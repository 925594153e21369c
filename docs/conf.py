"""Settings of Sphinx, which builds these pages: ``sphinx-build -W docs build/site``."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "jobkit_async"
author = "The jobkit_async authors"
release = version_of("jobkit-async")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4  # links lead to headings by the names that they have on code hosts

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
maximum_signature_line_length = 88
napoleon_attr_annotations = False  # the signatures have the types
napoleon_use_ivar = True  # attributes of a class stand in its own text
