"""How Sphinx builds the documentation."""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref

import asyncckpt
import asyncckpt.export
import asyncckpt.records
import asyncckpt.testing
from asyncckpt import __version__

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
exclude_patterns = ["_build", "_moved"]
nitpicky = True
# Building the docs needs no network, so what other projects document has no link. What is ours has.
nitpick_ignore_regex = [
    ("py:.*", r"(?!asyncckpt\b).*\..*"),
    # Type variables, and types that only stand in signatures.
    (
        "py:.*",
        r"(.*\.)?(RecordT|Endpoint|Fetch|HasId|APIKeySource|TokenProvider|AccessToken|ClientOptions|SharedOptions|Jobs|IsClosed|OnError|QueryValue|Record|OnExpiredCursor|Profile|ProfileName|RequestCounts|StreamHooks|MeterProvider|TracerProvider|_T|Records|ResultFormat|Training|_Requested|Mode|Figure|Path|PathLike)",
    ),
    ("py:.*", r"StreamHooks|TracerProvider|MeterProvider"),
    ("py:.*", r"(asyncckpt\.testing\.shapes\.)?\w+Object"),
    ("py:.*", r"asyncckpt\.errors\._ResponseError|asyncckpt\.streams\.stream\.Stream"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
autodoc_type_aliases = {
    "Request": "asyncckpt.Request",
    "Response": "asyncckpt.Response",
}
# The public names are shown as they are imported, not by the module they are written in.
add_module_names = False
# An attribute is described once, in its class's docstring.
napoleon_use_ivar = True
# In docstrings a name in single backticks is code, whether or not it has a page to link to.
default_role = "code"

html_theme = "furo"
html_static_path = ["_static"]
# Pages that have moved.
html_extra_path = ["_moved"]
html_css_files = ["wide.css"]
html_title = f"asyncckpt {release}"


def _public_reference(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Link what an annotation names by its module to the public name that is documented."""
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    for package in (asyncckpt, asyncckpt.export, asyncckpt.records, asyncckpt.testing):
        if name in package.__all__:
            public = f"{package.__name__}.{name}"
            domain, page = env.get_domain("py"), node["refdoc"]
            return domain.resolve_xref(env, page, app.builder, "obj", public, node, text)
    return None


def _shorten_names(app: Any, doctree: nodes.document) -> None:
    """Show a name of an annotation without its module, as it is imported."""
    for reference in doctree.findall(pending_xref):
        target = reference.get("reftarget", "")
        if target.startswith(("asyncckpt.", "collections.abc.")):
            for text in list(reference.findall(nodes.Text)):
                if text == target:
                    text.parent.replace(text, nodes.Text(target.rpartition(".")[2]))


def setup(app: Any) -> None:
    """Connect what this file adds to Sphinx."""
    app.connect("doctree-read", _shorten_names)
    app.connect("missing-reference", _public_reference)
