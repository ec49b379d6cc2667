"""Files of the days: read back by independent readers."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from datetime import date, timedelta

import pytest
from PIL import Image

from miner.rewards.export import ExportError, plot, write_csv
from miner.rewards.history import Day
from models.charts import bar_chart

DAYS = [Day(date(2026, 5, 1) + timedelta(n), alpha=float(n), tao=n * 0.01, epochs=n) for n in range(1, 31)]
SVG = "{http://www.w3.org/2000/svg}"


def test_a_csv_has_a_row_per_day(tmp_path):
    write_csv(DAYS, tmp_path / "days.csv")
    with (tmp_path / "days.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["alpha"]) for row in rows] == [day.alpha for day in DAYS]
    assert rows[0]["date"] == "2026-05-02" and rows[0]["rank"] == ""


@pytest.mark.parametrize("days", [DAYS, DAYS[:1], [Day(date(2026, 5, 1))], []])
def test_an_svg_has_a_bar_per_day_as_tall_as_it_paid(tmp_path, days):
    plot(days, tmp_path / "days.svg")
    bars = ET.parse(tmp_path / "days.svg").getroot().findall(f"{SVG}rect")
    heights = [float(bar.get("height")) for bar in bars]
    assert len(bars) == len(days)
    if len(days) > 1:
        assert heights == sorted(heights)
        assert heights[9] / heights[4] == pytest.approx(days[9].alpha / days[4].alpha, rel=0.02)


def test_a_page_shows_chart_and_table_and_asks_nobody_for_anything(tmp_path):
    plot(DAYS, tmp_path / "days.html")
    page = (tmp_path / "days.html").read_text()
    assert page.count("<tr>") == 31 and "2026-05-31" in page
    assert "src=" not in page and "href=" not in page and "@import" not in page


def test_a_png_is_a_picture_drawn_in_a_process_of_its_own(tmp_path):
    plot(DAYS, tmp_path / "days.png")
    with Image.open(tmp_path / "days.png") as image:
        assert image.format == "PNG" and image.size == (1200, 480)


def test_the_bars_of_a_png_are_as_tall_as_what_was_paid():
    image = bar_chart("", [("a", 1.0), ("b", 2.0)]).convert("RGB")
    green = [sum(image.getpixel((x, y)) == (47, 125, 79) for y in range(480)) for x in (300, 900)]
    assert green[1] == pytest.approx(2 * green[0], abs=2)


@pytest.mark.parametrize("name", ["days.gif", "days"])
def test_another_format_is_refused_by_what_works(tmp_path, name):
    with pytest.raises(ExportError, match=r"must end in \.svg, \.html, \.png"):
        plot(DAYS, tmp_path / name)


@pytest.mark.parametrize("name", ["days.svg", "days.html", "days.png", "days.csv"])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path, name):
    path = tmp_path / "missing" / name
    with pytest.raises(ExportError, match="cannot be written: No such file"):
        write_csv(DAYS, path) if name.endswith("csv") else plot(DAYS, path)
