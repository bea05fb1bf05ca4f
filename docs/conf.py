"""How Sphinx builds the documentation."""

from asyncckpt import FineTuningJob, __version__
from asyncckpt.resources import jobs as resources

project = "asyncckpt"
author = "The asyncckpt authors"
copyright = "The asyncckpt authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
nitpicky = True
# Building the docs needs no network, so what other projects document has no link. What is ours has.
nitpick_ignore_regex = [
    ("py:.*", r"(?!asyncckpt\b).*\..*"),
    # Type variables, and types that only stand in signatures.
    (
        "py:.*",
        r"(.*\.)?(RecordT|Endpoint|Fetch|APIKeySource|ClientOptions|Jobs|NotGiven|OnError|RequestCounts)",
    ),
    ("py:.*", r"asyncckpt\.testing\.shapes\.\w+Object"),
    ("py:.*", r"asyncckpt\.errors\._ResponseError"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
# Names that are imported for type checking only.
vars(resources)["FineTuningJob"] = FineTuningJob
autodoc_type_aliases = {
    "Request": "asyncckpt.messages.Request",
    "Response": "asyncckpt.messages.Response",
}
# The public names are shown as they are imported, not by the module they are written in.
add_module_names = False
# An attribute is described once, in its class's docstring.
napoleon_use_ivar = True
# In docstrings a name in single backticks is code, whether or not it has a page to link to.
default_role = "code"

html_theme = "furo"
html_title = f"asyncckpt {release}"
