"""The page in a real browser: nothing is cut off, at a desk or on a phone, and nothing is refused."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_builders import URI, digits, latencies
from page_reader import Element, read_page
from PIL import Image

from edgebench.reports.gate_words import DEFAULT_GATES
from edgebench.reports.html import Page, render_page
from edgebench.reports.judge import judge
from edgebench.reports.results import make_results

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (390, 768, 1280)
PROBE = """
<!doctype html><meta charset=utf-8><body>{frames}<pre id=found></pre><script>
const frames = [...document.querySelectorAll("iframe")];
function measured(frame) {{
  const page = frame.contentDocument, root = page.documentElement;
  const cut = [];
  for (const svg of page.querySelectorAll("svg")) {{
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {{
      const at = text.getBoundingClientRect();
      const across = at.left < box.left - 1 || at.right > box.right + 1;
      if (across || at.top < box.top - 1 || at.bottom > box.bottom + 1) cut.push(text.textContent);
    }}
  }}
  const small = [...page.querySelectorAll("svg text")]
    .map(text => text.getBoundingClientRect().height).filter(height => height > 0 && height < 8).length;
  const wide = [...page.querySelectorAll("section, header, h1, p, dl, li, figure, .scroll")]
    .filter(e => e.getBoundingClientRect().right > frame.clientWidth + 1 && !e.closest(".scroll .scroll"))
    .map(e => e.tagName + "." + e.className);
  return {{width: frame.clientWidth, content: root.scrollWidth, cut, small, wide,
           ink: getComputedStyle(page.querySelector("h1")).color,
           background: getComputedStyle(page.body).backgroundColor,
           svgs: page.querySelectorAll("svg").length}};
}}
window.addEventListener("load", () => {{
  document.getElementById("found").textContent = JSON.stringify(frames.map(measured));
}});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    """Return a headless-capable browser; skip, saying how to add one, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on PATH: apt-get install -y chromium enables this test")
    return found


def run(browser: str, *argv: str, profile: Path) -> subprocess.CompletedProcess[str]:
    """Run the browser headless, without a network, on a profile of its own."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
    offline = (
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
    )
    return subprocess.run(
        [browser, *flags, *offline, *argv], capture_output=True, text=True, check=True, timeout=60
    )


@pytest.fixture(scope="module")
def page() -> str:
    """Return the page of a NO-GO run whose names are long and odd."""
    builder = digits("a <b>größe</b> 模型模型模型 model-with-a-rather-long-name_v2", wrong=30)
    name = builder.measurements[1].artifact.id
    builder.samples[name, URI] = latencies(61)
    builder.notes = ("an " + "unbreakably-long-word" * 9, "calibration and evaluation share 3 samples")
    classes = tuple(f"class {i} <i>'\"" for i in range(10))
    builder.measurements = [
        replace(m, accuracy=m.accuracy and replace(m.accuracy, class_names=classes))
        for m in builder.measurements
    ]
    made = builder.run()
    verdict = judge(made.evidence, DEFAULT_GATES, made.samples, made.answers)
    results = make_results(made.evidence, verdict, made.samples, made.answers)
    return render_page(Page(made.evidence, verdict, results, made.samples, made.answers))


def test_nothing_is_cut_off_at_any_width(browser: str, page: str, tmp_path: Path) -> None:
    """On a phone, a tablet and a desk the page is as wide as its window, and no label leaves its figure."""
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    path = tmp_path / "probe.html"
    path.write_text(PROBE.format(frames=frames), encoding="utf-8")
    done = run(browser, "--dump-dom", path.as_uri(), profile=tmp_path / "profile")
    found = json.loads(next(e.text for e in read_dump(done.stdout)))
    assert [frame["width"] for frame in found] == list(WIDTHS)
    for frame in found:
        assert frame["content"] <= frame["width"], frame
        assert frame["wide"] == []
        assert frame["cut"] == []
        assert frame["small"] == 0, f"{frame['small']} labels are too small to read"
        assert frame["svgs"] == 2
        assert frame["ink"] != frame["background"]
    assert "Refused" not in done.stderr
    assert not re.search(r"CONSOLE.*(error|violat)", done.stderr, re.IGNORECASE)


def read_dump(dom: str) -> list[Element]:
    """Return the element that the probe wrote its findings into."""
    text = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert text is not None
    return read_page(f"<pre>{text[1]}</pre>").all("pre")


def test_the_page_is_drawn(browser: str, page: str, tmp_path: Path) -> None:
    """A screenshot shows the banner in its colour at the top, and more than text on a ground."""
    path, shot = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(page, encoding="utf-8")
    argv = ("--window-size=1280,2400", f"--screenshot={shot}", path.as_uri())
    run(browser, *argv, profile=tmp_path / "profile")
    with Image.open(shot) as image:
        drawn = image.convert("RGB")
    assert drawn.size == (1280, 2400)
    top = {colour for _, colour in drawn.crop((0, 0, 1280, 420)).getcolors(1 << 24) or []}
    assert {(0xFB, 0xE6, 0xE7), (0xA0, 0x17, 0x22)} <= top
    assert len(drawn.getcolors(1 << 24) or []) > 100


def test_the_page_prints(browser: str, page: str, tmp_path: Path) -> None:
    """It prints to a PDF of a few pages."""
    path, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    path.write_text(page, encoding="utf-8")
    argv = ("--no-pdf-header-footer", f"--print-to-pdf={pdf}", path.as_uri())
    run(browser, *argv, profile=tmp_path / "profile")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    assert 3 <= pages <= 14
