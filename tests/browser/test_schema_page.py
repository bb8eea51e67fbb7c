"""The diagram of the database: all of it at first, then as large as one likes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, expect

from persistence.tables import metadata
from tests.support.browser import watched
from tests.support.service import ServiceProcess

ABOUT_PX = 2.0
"""What scrolls is moved by whole pixels."""

Point = tuple[float, float]


@pytest.fixture
def diagram(page: Page) -> Page:
    """The page, with the diagram as it is at first."""
    page.goto("/docs/schema")
    page.locator("#zoom").wait_for()
    return page


def box(page: Page, selector: str = "#frame > svg") -> FloatRect:
    found = page.locator(selector).bounding_box()
    assert found is not None
    return found


def place(page: Page, at: Point) -> Point:
    """Which point of the diagram is at this point of the window, as parts of its width and height."""
    of = box(page)
    return (at[0] - of["x"]) / of["width"], (at[1] - of["y"]) / of["height"]


def shown(page: Page) -> int:
    """The scale that the page names, in percent."""
    return int(page.locator("#scale").inner_text().removesuffix(" %"))


def is_all_there(page: Page) -> bool:
    outer, inner = box(page, "#frame"), box(page)
    return (
        inner["x"] >= outer["x"]
        and inner["y"] >= outer["y"]
        and inner["x"] + inner["width"] <= outer["x"] + outer["width"]
        and inner["y"] + inner["height"] <= outer["y"] + outer["height"]
    )


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (844, 390)], ids=str)
def test_all_of_it_is_there_at_first(page: Page, size: tuple[int, int]):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto("/docs/schema")
    page.locator("#zoom").wait_for()
    assert is_all_there(page)
    of = box(page)
    assert of["width"] > size[0] * 0.9 or of["height"] > size[1] * 0.8


def test_it_fits_again_when_the_window_changes(diagram: Page):
    diagram.set_viewport_size({"width": 500, "height": 500})
    diagram.wait_for_function("document.querySelector('#frame > svg').getBoundingClientRect().width < 500")
    assert is_all_there(diagram)


def test_every_table_and_column_is_in_it(diagram: Page):
    words = set(diagram.locator("#frame > svg text").all_text_contents())
    for table in metadata.sorted_tables:
        assert {table.name, *table.columns.keys()} <= words


def test_buttons_and_keys_zoom(diagram: Page):
    first = shown(diagram)
    diagram.get_by_role("button", name="Zoom in").click()
    larger = shown(diagram)
    assert larger > first
    diagram.keyboard.press("+")
    assert shown(diagram) > larger
    diagram.keyboard.press("-")
    assert shown(diagram) == larger
    diagram.get_by_role("button", name="Zoom out").click()
    assert shown(diagram) == first
    diagram.keyboard.press("-")
    assert shown(diagram) == first  # smaller than all of it is of no use
    for _ in range(20):
        diagram.keyboard.press("=")
    assert shown(diagram) == 400
    diagram.keyboard.press("0")
    assert shown(diagram) == first
    diagram.keyboard.press("+")
    diagram.get_by_role("button", name="Fit").click()
    assert is_all_there(diagram)


def test_the_wheel_zooms_to_where_it_points(diagram: Page):
    at = (500.0, 420.0)
    diagram.mouse.move(*at)
    before, first = place(diagram, at), box(diagram)["width"]
    for _ in range(4):
        diagram.mouse.wheel(0, -300)
    diagram.wait_for_function(
        "least => document.querySelector('#frame > svg').getBoundingClientRect().width > least", arg=first * 5
    )
    after, of = place(diagram, at), box(diagram)
    assert after[0] * of["width"] == pytest.approx(before[0] * of["width"], abs=ABOUT_PX * 4)
    assert after[1] * of["height"] == pytest.approx(before[1] * of["height"], abs=ABOUT_PX * 4)


def test_it_is_dragged(diagram: Page):
    for _ in range(8):
        diagram.keyboard.press("+")
    before = box(diagram)
    diagram.mouse.move(600, 400)
    diagram.mouse.down()
    diagram.mouse.move(480, 350, steps=5)
    diagram.mouse.up()
    after = box(diagram)
    assert after["x"] - before["x"] == pytest.approx(-120, abs=ABOUT_PX)
    assert after["y"] - before["y"] == pytest.approx(-50, abs=ABOUT_PX)
    diagram.mouse.move(200, 200)
    assert box(diagram) == after  # let go


def test_two_fingers_zoom_to_between_them(diagram: Page, context: BrowserContext):
    device = context.new_cdp_session(diagram)

    def touch(kind: str, *points: Point) -> None:
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    at = (600.0, 400.0)
    before, first = place(diagram, at), box(diagram)["width"]
    touch("touchStart", (550, 400), (650, 400))
    for apart in range(50, 151, 10):
        touch("touchMove", (600 - apart, 400), (600 + apart, 400))
    touch("touchEnd")
    assert box(diagram)["width"] == pytest.approx(first * 3, rel=0.05)
    after = place(diagram, at)
    assert after == pytest.approx(before, abs=0.02)
    touch("touchStart", (600, 400))
    touch("touchMove", (560, 400))
    touch("touchEnd")
    assert box(diagram)["width"] == pytest.approx(first * 3, rel=0.05)
    assert place(diagram, (560, 400)) == pytest.approx(after, abs=0.01)


def test_it_is_there_without_javascript(browser: Browser, service: ServiceProcess):
    with watched(browser, service.http, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/docs/schema")
        expect(page.get_by_text("idempotency_records", exact=True)).to_be_visible()
        assert not page.locator("#zoom").is_visible()
