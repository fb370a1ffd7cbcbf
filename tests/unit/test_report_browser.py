"""The page of `inspect --html` in a real browser: it draws, it says nothing on the console, its table works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer", reason="needs typer: pip install 'bitpress[cli]'")
pytest.importorskip("PIL", reason="needs Pillow: pip install pillow")

from PIL import Image
from typer.testing import CliRunner

import bitpress as bp
from bitpress.cli.app import app

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    tensors = {f"block.{i}.weight": rng.standard_normal((32, 16 + 8 * i)).astype(np.float32) for i in range(5)}
    tensors |= {"<img src=x onerror=alert(1)>": np.arange(40, dtype=np.int64), "half": np.ones((8, 8), np.float16)}
    recipe = bp.Recipe(
        (bp.Rule("block.0*", bp.Scheme.int(3, sparse=True), sparsity=0.8), bp.Rule("block*", bp.Scheme.int(4)))
    )
    bp.save_file(tensors, folder / "net.bp", recipe=recipe, metadata={"note": "a & b"})
    done = CliRunner().invoke(app, ["inspect", str(folder / "net.bp"), "--html", str(folder / "net.html")])
    assert done.exit_code == 0, done.output
    return folder / "net.html"


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page without a window; the browser's log goes to stderr."""
    assert BROWSER is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    flags += ["--enable-logging=stderr", f"--user-data-dir={page.parent / 'profile'}", "--disable-dev-shm-usage"]
    done = subprocess.run([BROWSER, *flags, *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def said_on_the_console(log: str) -> list[str]:
    return re.findall(r"CONSOLE[^\n]*", log)


def test_the_page_draws_in_light_and_dark(page: Path, tmp_path: Path) -> None:
    grounds = []
    for scheme in (1, 0):
        shot = tmp_path / f"shot{scheme}.png"
        done = browse(
            page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}", "--window-size=1200,2400"
        )
        assert said_on_the_console(done.stderr) == []
        image = Image.open(shot).convert("RGB")
        assert image.size == (1200, 2400)
        pixels = np.asarray(image)
        ground = pixels[5, 5]
        grounds.append(int(ground.sum()))
        assert (np.abs(pixels.astype(int) - ground).sum(axis=2) > 60).mean() > 0.02  # text and plots
        assert len(np.unique(pixels[::4, ::4].reshape(-1, 3), axis=0)) > 20
    assert grounds[0] > 600 and grounds[1] < 150


def test_the_page_holds_its_elements(page: Path) -> None:
    done = browse(page, "--dump-dom")
    assert said_on_the_console(done.stderr) == []
    dom = done.stdout
    assert dom.count('<article class="card"') == 7 and dom.count("<figure") == 14
    assert len(re.findall(r"<tr>|<tr ", dom[dom.index('id="tensors"') :])) >= 8
    assert "&lt;img src=x onerror" in dom and "<img" not in dom
    assert "a &amp; b" in dom


def test_the_table_sorts_and_filters(page: Path) -> None:
    act = """<script>
    document.querySelectorAll("th button")[5].click();
    const first = document.querySelector("#tensors tbody tr").cells[0].textContent;
    const box = document.getElementById("filter");
    box.value = "block"; box.dispatchEvent(new Event("input"));
    const shown = [...document.querySelectorAll("#tensors tbody tr")].filter((row) => !row.hidden).length;
    document.title = first + "|" + shown;
    </script></body>"""
    acted = page.with_name("acted.html")
    acted.write_text(page.read_text("utf-8").replace("</body>", act), "utf-8")
    done = browse(acted, "--dump-dom")
    assert said_on_the_console(done.stderr) == []
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None and title[1] == "block.4.weight|5"


def test_the_page_asks_for_nothing_from_elsewhere(page: Path) -> None:
    """An image from elsewhere, put in by hand, is refused by the page's own policy."""
    poked = page.with_name("poked.html")
    text = page.read_text("utf-8").replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>')
    poked.write_text(text, "utf-8")
    assert "Content Security Policy" in " ".join(said_on_the_console(browse(poked, "--dump-dom").stderr))
