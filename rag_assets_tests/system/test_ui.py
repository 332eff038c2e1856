"""Dagster's UI over a corpus, as a person sees it: the real webserver and daemon, opened in a real headless browser.

Not here: what the figures and verdicts are (the tests of the parts), only that the UI shows them.
"""

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rag_assets.checks.vectors import SPECS
from rag_assets_tests.system.conftest import Project
from rag_assets_tests.system.serving import serving
from resources.store.tables import CHUNKS

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EDGES = 8
CHECKS = {
    "documents": ("agrees_with_sources", "content_preserved", "contract", "readable", "readiness"),
    "chunks": ("contract", "covers_documents", "no_orphans"),
    "token_embeddings": ("contract", "covers_chunks", "no_orphans"),
    "dense_index": ("equals_table", "files_whole", "self_query"),
    "bm25_index": ("equals_table", "files_whole", "self_query"),
    "ragas_report": ("gate",),
    "snapshot": ("is_current", "is_fresh", "is_whole"),
}
# Axes and labels of a plot are grey; what is plotted is not.
COLOURED_PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let found = 0
    for (let i = 0; i < data.length; i += 4) {
        const pixel = [data[i], data[i + 1], data[i + 2]]
        if (data[i + 3] > 128 && Math.max(...pixel) - Math.min(...pixel) > 80) found += 1
    }
    return found
}"""


@contextmanager
def browsing(**options):
    """Open a page in a new profile of Chromium. Skips the test where there is none and none can be installed."""
    if not CHROMIUM.exists() and (problem := _install_chromium()):
        pytest.skip(f"needs {CHROMIUM} (Debian package chromium): {problem}")
    with tempfile.TemporaryDirectory() as profile, playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=list(QUIET), viewport={"width": 1600, "height": 900}, **options
        )
        context.set_default_timeout(60_000)
        yield context.pages[0]
        context.close()


def _install_chromium():
    """Install Chromium where that is ours to do, and return what went wrong."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "not installed, and this is no root account with apt-get"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` took longer than five minutes"
        if done.returncode:
            return f"`{' '.join(command)}` failed: {done.stderr.strip()[-200:]}"
    return "" if CHROMIUM.exists() else "the package has no such file"


@pytest.fixture(scope="module")
def page():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "ui.log"


@pytest.fixture(scope="module")
def ui(page, log, tmp_path_factory):
    """Build a small corpus of Python's own documentation and serve the UI over it; `page` first, it may skip."""
    folder = tmp_path_factory.mktemp("ui") / "project"
    folder.mkdir()
    project = Project(folder)
    built = project.run("ensure", "ragas-eval", "--docs", "40", "--auto-fix", "--json")
    assert built.code == 0, built.err
    with serving(project, log) as address:
        yield address


def shown(locator):
    playwright.expect(locator).to_be_visible(timeout=30_000)


def test_the_graph_shows_all_assets(ui, page):
    page.goto(f"{ui}/asset-groups")
    nodes = page.locator("foreignObject")
    for asset in CHECKS:
        shown(nodes.filter(has_text=re.compile(f"^{asset}")))
    assert nodes.count() == len(CHECKS)
    assert page.locator("svg path[marker-end]").count() == EDGES
    assert page.get_by_role("dialog").count() == 0, "nothing lies over the graph"


@pytest.mark.parametrize("asset", [asset for asset, checks in CHECKS.items() if checks])
def test_every_check_has_passed(ui, page, asset):
    page.goto(f"{ui}/assets/{asset}?view=checks")
    requested_alone = len(SPECS) if asset == "token_embeddings" else 0
    shown(page.get_by_text(f"Checks ({len(CHECKS[asset]) + requested_alone})"))
    for check in CHECKS[asset]:
        entry = page.get_by_title(check, exact=True).locator("..")
        shown(entry.get_by_text("Succeeded"))


def test_a_check_shows_its_partition_and_its_expectations(ui, page):
    page.goto(f"{ui}/assets/chunks?view=checks")
    latest = page.locator("div").filter(has_text=re.compile("^Evaluation result")).last.locator("..")
    shown(latest.get_by_text("Passed"))
    shown(latest.get_by_text("default", exact=True))
    shown(page.get_by_text("expect_column_values_to_be_unique"))


def test_the_columns_are_described(ui, page):
    page.goto(f"{ui}/assets/chunks?view=overview")
    for field in CHUNKS.schema:
        row = page.locator("tr").filter(has=page.get_by_text(field.name, exact=True))
        shown(row.get_by_text(str(field.type), exact=True).first)
    shown(page.locator("tr").filter(has_text="chunk_id").get_by_text("unique", exact=True))


def test_metrics_are_plotted(ui, page):
    page.goto(f"{ui}/assets/ragas_report?view=overview")
    page.get_by_role("button", name="Plots").click()
    for metric in ("hybrid ndcg@10", "queries"):
        plot = page.get_by_text(metric, exact=True).locator("../..").locator("canvas")
        shown(plot)
        page.wait_for_function(f"canvas => ({COLOURED_PIXELS})(canvas) > 0", arg=plot.element_handle(), timeout=30_000)


def test_a_run_started_in_the_ui_succeeds(ui, page):
    page.goto(f"{ui}/asset-groups")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("All", exact=True).click()
    page.get_by_role("button", name=re.compile("Launch")).click()
    told = page.get_by_text(re.compile("Launched run [0-9a-f]{8}"))
    shown(told)
    run = told.inner_text().split("Launched run ")[1][:8]
    page.goto(f"{ui}/runs")
    page.get_by_role("link", name=run).click()
    playwright.expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=180_000)
    shown(page.get_by_text(f"{sum(map(len, CHECKS.values())) + len(SPECS)} checks"))


def test_the_browser_asks_nobody_but_the_server(ui, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("asset-groups", "assets/chunks?view=overview", "deployment", "runs"):
        page.goto(f"{ui}/{path}")
        page.wait_for_load_state("networkidle")
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}


def test_the_server_reports_no_error(ui, log):
    said = log.read_text("utf-8")
    assert "Serving dagster-webserver" in said
    assert not re.findall(r".*(?:ERROR|Traceback|Error:).*", said)
