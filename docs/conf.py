"""How the site is built; `make docs` builds it."""

import inspect
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import matplotlib  # noqa: E402

matplotlib.use("Agg")

from sphinx.util.nodes import make_refnode  # noqa: E402

import skfakespotter  # noqa: E402

project = "skfakespotter"
author = "the skfakespotter developers"
copyright = author
version = release = skfakespotter.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.md", "results/**/*.csv"]
templates_path = ["_templates"]
root_doc = "index"

# Every reference is checked. Other projects' names resolve where their inventories can be
# fetched, which a build without a network cannot do.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(PIL|av|distributed|joblib|numpy|matplotlib|pandas|sklearn|skorch|torch)\..*"),
    ("py:(obj|attr)", r"fingerprint|calibration"),  # properties, told of in their class
    ("py:(func|mod)", r".*\._\w+.*|as_neurons"),  # private: named for who reads the source
    ("py:obj", r"\w+_"),  # fitted attributes that are properties
    ("py:.*", r"(dict|list|tuple|str|int|float|bool|None|tempfile|os\.PathLike|pathlib\.Path)"),
]
if os.environ.get("DOCS_ONLINE"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "joblib": ("https://joblib.readthedocs.io/en/stable", None),
    }

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say it, with shapes
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "skfakespotter"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"changelog": [], "contributing": []}

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"recipes|__init__|millions|quickstart|search_and_save",
    "within_subsection_order": "gallery.Order",
    "reference_url": {"skfakespotter": None},
    "doc_module": ("skfakespotter",),
    "backreferences_dir": "api/backreferences",
    "image_scrapers": ("gallery.save_vector_graphics",),
    "capture_repr": ("_repr_html_",),  # what a display is called says nothing
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "plot_gallery": os.environ.get("DOCS_GALLERY", "1") == "1",
    "reset_modules": ("matplotlib",),
}

STAGES = [  # module, title, what it is for
    ("images", "Images", "What a user calls a picture becomes uint8 RGB."),
    ("faces", "Faces", "Where the faces are, and how each network wants to see them."),
    ("backbones", "Networks", "Face-recognition networks by name, with their facts."),
    ("transformer", "Coverage", "Equations 1 and 2 as a scikit-learn transformer."),
    ("coverage", "Coverage, below the transformer", "Watching a network's neurons by hand."),
    ("cache", "Cache", "One forward pass, however many fits."),
    ("classifier", "Classifier", "The paper's five-layer network."),
    ("experts", "Experts", "Unlike experts, joined by learned weights."),
    ("pipeline", "Pipeline", "All of it in one call."),
    ("detectors", "Detectors", "What ships: specialists, their cards and verdicts."),
    ("explanation", "Explanation", "Which layers, and where in the face."),
    ("evaluation", "Evaluation", "Figures with intervals and protocols that keep groups apart."),
    ("perturbations", "Perturbations", "What happens to pictures on their way."),
    ("leakage", "Leakage", "What in the data gives the label away."),
    ("baselines", "Baselines", "Rivals in the same table."),
    ("video", "Clips", "Frames, the faces followed through them, one verdict each."),
    ("datasets", "Data", "Folders, generated pictures, measured coverage."),
]


def public_names(module):
    """List a stage's public names: its `__all__`, or what the package exports from it."""
    home = module.__name__.split(".")[1]
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, place in skfakespotter._HOMES.items() if place == home]
        names += [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and name not in names
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == module.__name__
        ]
    return sorted(names, key=lambda name: (not name[0].isupper(), name.lower()))


def shortest(name, home):
    """Say where users import a name from: the package itself, or its stage."""
    return name if name in skfakespotter._HOMES else f"{home}.{name}"


def resolve_by_name(app, env, node, contnode):
    """Let docstrings name a public object by any of the places it can be imported from.

    A class that is exported from the package is documented there, and may be referred to as
    its stage's. Names that are documented nowhere stay unresolved, which is an error.
    """
    if node.get("refdomain") != "py" or node.get("reftype") == "mod":
        return None
    target = node["reftarget"].removeprefix("~")
    parts = target.split(".")
    domain = env.get_domain("py")
    for length in (1, 2):  # an object, or a method and its class
        suffix = "." + ".".join(parts[-length:])
        names = [
            name
            for name, entry in domain.objects.items()
            if name.endswith(suffix) and not entry.aliased
        ]
        if len(parts) >= length and len(names) == 1:
            builder, docname = app.builder, node.get("refdoc", env.docname)
            entry = domain.objects[names[0]]
            return make_refnode(builder, docname, entry.docname, entry.node_id, contnode, names[0])
    return None


def listing(module, names, exported):
    """Lay out tables of classes and functions: those for everyone, or those of the stage only."""
    home = module.__name__.split(".")[1]
    place = "skfakespotter" if exported else module.__name__
    lines = []
    for kind, template, belongs in (
        ("Classes", "class", inspect.isclass),
        ("Functions", "base", inspect.isroutine),
    ):
        chosen = [shortest(name, home) for name in names if belongs(getattr(module, name))]
        if chosen:
            title = f"{kind} in {place}"
            lines += [title, "-" * len(title), "", ".. currentmodule:: skfakespotter", ""]
            lines += [".. autosummary::", "   :toctree: generated", "   :nosignatures:"]
            lines += [f"   :template: autosummary/{template}.rst", ""]
            lines += [f"   {name}" for name in chosen] + [""]
    return lines


def write_reference():
    """Write one page for each stage, with every public name of it."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    pages = []
    for home, title, purpose in STAGES:
        try:
            module = import_module(f"skfakespotter.{home}")
        except ModuleNotFoundError as error:
            if error.name != f"skfakespotter.{home}":
                raise
            continue  # a stage that is not here yet
        lines = [title, "=" * len(title), "", f".. module:: {module.__name__}", "", purpose, ""]
        names = public_names(module)
        for exported in (True, False):
            of_kind = [n for n in names if (n in skfakespotter._HOMES) == exported]
            lines += listing(module, of_kind, exported)
        if names:
            write(folder / f"{home}.rst", "\n".join(lines))
            pages.append(home)
    entries = "\n".join(f"   {home}" for home in pages)
    write(
        folder / "index.rst",
        "API reference\n=============\n\nEvery public name, by stage: pictures come in at the top, "
        "scores leave at the bottom.\nWhat most people need is importable from ``skfakespotter`` "
        f"itself.\n\n.. toctree::\n   :maxdepth: 2\n\n{entries}\n",
    )


def copy_results():
    """Put the tables of the benchmarks beside the pages that quote them."""
    target = HERE / "results"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "benchmarks" / "results", target)
    for page in target.rglob("*.md"):
        text = page.read_text()
        if not text.startswith("# "):
            page.write_text(f"# {page.parent.name}: {page.stem}\n\n{text}")


def write(path, text):
    """Write a file unless it holds that text: Sphinx rebuilds what is newer."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def result(match):
    """Link to a table of the benchmarks, or name it where it has not been made yet."""
    title, path, anchor = match.groups()
    there = (ROOT / "benchmarks" / "results" / path).exists()
    return f"[{title}](/results/{path}{anchor})" if there else f"`{title}`"


def point_into_site(app, docname, source):
    """Turn links to other files of the repository into links of the site."""
    text = source[0]
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)?benchmarks/results/([^)#]+)([^)]*)\)", result, text)
    text = re.sub(r"\]\((?:\.\./)?examples/(plot_\w+)\.py\)", r"](/auto_examples/\1.rst)", text)
    text = re.sub(r"\]\((?:docs/)(\w+\.md)", r"](/\1", text)
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)?(?:examples|benchmarks|\.github)[^)]*\)", r"`\1`", text)
    source[0] = text


def setup(app):
    """Register what this file adds."""
    missing = set(skfakespotter._HOMES.values()) - {home for home, *_ in STAGES}
    if missing:
        raise ValueError(f"STAGES lacks {sorted(missing)}: their names would not be in the site.")
    write_reference()  # before Sphinx looks which pages there are
    copy_results()
    app.connect("source-read", point_into_site)
    app.connect("missing-reference", resolve_by_name)
