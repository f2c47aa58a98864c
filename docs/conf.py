"""Sphinx builds the documentation from this folder: `make docs`."""

import importlib
import re
import shutil
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TypeVar

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import docstrings  # noqa: E402
import inventories  # noqa: E402

project = "okibi"
author = "the okibi authors"
project_copyright = "2026, the okibi authors"
release = version = version_of("okibi")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_llms_txt",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# The public names are documented where users import them from.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"  # docstrings write `name`

# The class says LambdaContext, as the official client's does; autodoc would call it an alias.
importlib.import_module("okibi.runtime").Context.__name__ = "Context"

# The newest inventory where the network has it, else the names listed in inventories.py.
intersphinx_mapping = {
    name: (url, (None, str(inventories.write(name, HERE / "_build" / "inventories"))))
    for name, url in inventories.URLS.items()
}
intersphinx_timeout = 5
nitpicky = True
nitpick_ignore_regex = inventories.IGNORED

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
# The dark style of Furo underlines the names of classes, as if they were links.
pygments_dark_style = "a11y-dark"
html_title = "okibi"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["okibi.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b03a1e", "color-brand-content": "#a3341a"},
    "dark_css_variables": {"color-brand-primary": "#ff8f66", "color-brand-content": "#ff9d78"},
}
html_show_sphinx = False
html_copy_source = True

llms_txt_title = "okibi"
llms_txt_summary = (
    "An AWS Lambda runtime for Python built from actors on trio: a supervision tree stays alive"
    " across invocations, and whatever fails inside it is restarted inside it."
)


def copy_markdown(app: Sphinx, exception: Exception | None) -> None:
    """Put a Markdown copy of each page beside its HTML."""
    if exception is None and app.builder.format == "html":
        for page in HERE.rglob("*.md"):
            name = page.relative_to(HERE)
            if "_build" not in name.parts:
                (Path(app.outdir) / name.parent).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(page, Path(app.outdir) / name)


def convert_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Convert a docstring in place (autodoc-process-docstring)."""
    lines[:] = docstrings.convert(lines)
    if what in ("property", "attribute") and lines:
        lines[0] = lines[0].replace(": ", "; ")  # napoleon takes "Seconds: ..." for a type


def hide_private_fields(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, result: str
) -> tuple[str, str] | None:
    """Leave out a signature whose fields are those of the event (autodoc-process-signature)."""
    return ("", result) if name == "okibi.runtime.HttpEvent" else None


def convert_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, arguments: str, result: str
) -> tuple[str, str] | None:
    """Write a ParamSpec as P: autodoc writes `~typing.~P`, which Sphinx cannot parse."""
    return (re.sub(r"~(typing\.~)?P\b", "P", arguments), result) if arguments else None


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Link a name to where users import it; leave a private type as text (missing-reference)."""
    target = str(node.get("reftarget", ""))
    module, _, name = target.rpartition(".")
    if isinstance(getattr(sys.modules.get(module), name, None), TypeVar):
        return content  # Event of Handler[Event] is not okibi.actors.Event
    for layer in ("actors", "supervisors", "runtime", "local"):
        if name in importlib.import_module(f"okibi.{layer}").__all__:
            node["reftarget"] = f"okibi.{layer}.{name}"
            domain = env.domains.python_domain
            where, builder = str(node["refdoc"]), app.builder
            return domain.resolve_xref(
                env, where, builder, str(node["reftype"]), node["reftarget"], node, content
            )
    return content if target.startswith("okibi.") or target in inventories.PRIVATE else None


def setup(app: Sphinx) -> None:
    """Register what conf.py adds."""
    app.connect("autodoc-process-docstring", convert_docstring, priority=100)
    app.connect("autodoc-process-signature", hide_private_fields)
    app.connect("autodoc-process-signature", convert_signature)
    app.connect("missing-reference", resolve)
    app.connect("build-finished", copy_markdown)
