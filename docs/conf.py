"""Sphinx configuration."""

project = "edgebench"
author = "the edgebench authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
html_extra_path = ["pipeline.schema.json"]
exclude_patterns = ["build"]
autodoc_typehints = "none"
myst_heading_anchors = 3
