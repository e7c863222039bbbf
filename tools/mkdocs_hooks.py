"""Hooks of MkDocs: Mermaid's script becomes part of the site, so that diagrams are drawn without a network.

Where the script cannot be had, the build says so and goes on: a reader's browser then loads it from another host.
"""

import sys

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from sandbox.programs.cache import SandboxError
from tools import mermaid

FOLDER = "javascripts"
SCRIPT = f"{FOLDER}/{mermaid.SCRIPT}"
DIAGRAM = '<pre class="mermaid">'


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the script and its licence."""
    try:
        folder = mermaid.ensure()
    except SandboxError as error:
        sys.stderr.write(f"Mermaid is not part of this build, diagrams need a network: {error}\n")
        return files
    for target, name in ((SCRIPT, mermaid.SCRIPT), (f"{FOLDER}/mermaid.LICENSE.txt", mermaid.LICENCE)):
        files.append(File.generated(config, target, abs_src_path=str(folder / name)))
    return files


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs passes them by name
    """Load the script on pages with a diagram alone: it has 3.5 MB. It runs before the theme checks for it."""
    if DIAGRAM not in html or files.get_file_from_path(SCRIPT) is None:
        return html
    return f'{html}\n<script src="{get_relative_url(SCRIPT, page.url)}"></script>'
