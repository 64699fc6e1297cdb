"""The site builds without a warning, and says what the command line does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from traindoctor.cli.main import app
from traindoctor.config import Config
from traindoctor.probing.registry import all_rules

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_MKDOCS_2_WARNING": "1",
    }
    ended = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_every_rule_has_a_page_with_its_limits_and_its_ways_out(site):
    for rule in all_rules().values():
        page = (site / "rules" / f"{rule.code}.html").read_text(encoding="utf-8")
        assert rule.name in page
        assert "When it may be wrong" in page
        assert "Ways out" in page


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("index.html", "Five minutes"),
        ("how-it-works.html", "Ratios of whole processes"),  # of the README
        ("what-it-cannot-see.html", "What it cannot see</h1>"),
        ("writing-a-probe.html", "How to write a probe"),
        ("other-tools.html", "<th>names a line of yours</th>"),
        ("cases/silent_speech.html", "What happened."),
        ("cases/audio_adapter.html", "What happened."),
        ("cases/multimodal_collator.html", "What happened."),
        ("cases/hooks_on_music_model.html", "What happened."),
        ("cases/array_signal_trainer.html", "What happened."),
    ],
)
def test_what_a_reader_looks_for_is_a_page(site, page, says):
    text = re.sub(r'<a class="headerlink".*?</a>', "", (site / page).read_text(encoding="utf-8"))

    assert says in text
    assert (
        f'href="{page}"' in (site / "index.html").read_text(encoding="utf-8")
        or page == "index.html"
    )


def test_the_site_fetches_nothing_from_elsewhere(site):
    page = (site / "index.html").read_text(encoding="utf-8")

    fetched = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page)
    assert fetched == []


def test_every_setting_is_on_its_page():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    table = page.partition("| key | environment | flag |")[2]

    for item in fields(Config):
        assert f"`{item.name.replace('_', '-')}`" in table, item.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_flags_that_there_are(page):
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text(encoding="utf-8")
    for name, words in re.findall(r"traindoctor ([a-z-]+)((?: [^\s`|#]+)*)", text):
        if name not in commands:  # prose
            assert not words.strip().startswith("--"), f"traindoctor {name}"
            continue
        known = {option for item in commands[name].params for option in item.opts}
        known |= {option for item in commands[name].params for option in item.secondary_opts}
        used = set() if name == "watch" else set(re.findall(r"(?<= )--[a-z-]+", words))
        assert used <= known, f"traindoctor {name}"
