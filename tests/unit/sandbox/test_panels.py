"""The picture of the dashboard: well-formed, and about panels that the dashboard has."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from sandbox.panels.drawing import Line, Panel, picture

ROOT = Path(__file__).parents[3]


def test_the_picture_shows_panels_of_the_dashboard() -> None:
    """Each title in the committed picture is a title of the dashboard."""
    text = (ROOT / "docs" / "images" / "dashboard.svg").read_text(encoding="utf-8")
    dashboard = json.loads((ROOT / "charts/dora-operator/dashboards/dora-operator.json").read_text(encoding="utf-8"))
    titles = re.findall(r'<text class="t"[^>]*>([^<]+)<', text)
    assert len(titles) == 4
    assert set(titles) <= {panel["title"] for panel in dashboard["panels"]}


def test_a_picture_is_well_formed_whatever_is_drawn() -> None:
    """Names are escaped, and a panel without any point is drawn too."""
    panels = [Panel("a < b & c", "", []), Panel("flat", " s", [Line("<x>", [(0.0, 0.0), (1.0, 0.0)])])]
    root = ET.fromstring(picture(panels, (0, 1), "'>"))
    assert "a < b & c" in "".join(root.itertext())
