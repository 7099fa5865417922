"""The chat page in headless Chromium: opened as a person opens it, and watched for what nobody would see.

async with chromium() as browser, browser.page(server.base_url, at(ada)) as page:
    await say(phone(page, ada), "How do I sleep better?")
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.support.telegram import Group, Person

CHROMIUM = os.environ.get("FORMA_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
WAIT_MS = 15_000
PHONE_WIDTH = 390
_FLAGS = [
    "--no-sandbox",  # root has no other way, and only pages of this machine are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]

needs_chromium = [
    pytest.mark.chromium,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}; FORMA_TEST_CHROMIUM names one"),
]


@dataclass
class Watch:
    """What a page did that a person does not see: `faults` must stay empty, whoever cuts a line tolerates its words."""

    origin: str
    faults: list[str] = field(default_factory=list)
    tolerated: tuple[str, ...] = ()

    def attach(self, page: Page) -> None:
        """Follow the page's errors, its console, and every address that it asks."""
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("console", lambda line: line.type in {"error", "warning"} and self.faults.append(line.text))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def _asked(self, url: str) -> None:
        own = (self.origin, self.origin.replace("http", "ws", 1), "blob:")
        if not url.startswith(own):
            self.faults.append(f"asked {url}")

    def check(self) -> None:
        """Raises AssertionError with what was not tolerated."""
        left = [fault for fault in self.faults if not any(words in fault for words in self.tolerated)]
        assert not left, left


@dataclass
class Chromium:
    """A running browser."""

    browser: Browser

    @asynccontextmanager
    async def page(
        self,
        url: str,
        fragment: str = "",
        *,
        width: int = 1280,
        lang: str = "en-GB",
        tolerated: tuple[str, ...] = (),
        **options: Any,
    ) -> AsyncIterator[Page]:
        """A fresh profile on the page, connected; at its end a script error, an error or warning in the console, or a
        request to anybody but the page's own server fails the test, unless it contains a tolerated word.
        """
        size = {"width": width, "height": 844 if width < 700 else 860}
        context = await self.browser.new_context(viewport=size, locale=lang, **options)
        context.set_default_timeout(WAIT_MS)
        watch = Watch(url.rstrip("/"), tolerated=tolerated)
        page = await context.new_page()
        watch.attach(page)
        await page.goto(f"{url.rstrip('/')}/{fragment}")
        await expect(page.locator(".offline")).to_be_hidden()
        yield page
        await context.close()
        watch.check()


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Chromium without a window, closed at the end."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield Chromium(browser)
        await browser.close()


def at(who: Person, chat: Group | None = None) -> str:
    """The part of the page's address that opens this person's chat."""
    return f"#person={who.id}&chat={chat.id if chat else who.id}"


def phone(page: Page, who: Person, chat: Group | None = None) -> Locator:
    """The column of this person and chat."""
    return page.locator(f'.column[data-key="{who.id}:{chat.id if chat else who.id}"]')


async def say(column: Locator, text: str) -> None:
    """Type into the line and press Enter."""
    await column.get_by_test_id("composer").fill(text)
    await column.get_by_test_id("composer").press("Enter")


async def attach(column: Locator, item: str, *files: dict[str, Any]) -> None:
    """Choose from the menu of the paper clip; with files, hand them to the chooser that it opens."""
    page = column.page
    await column.get_by_role("button", name="Attach").click()
    entry = page.get_by_role("menuitem", name=item, exact=True)
    if not files:
        await entry.click()
        return
    async with page.expect_file_chooser() as chooser:
        await entry.click()
    await (await chooser.value).set_files(list(files))  # type: ignore[arg-type]


_FAINT = """
() => {
  const channels = (css) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => below.map((value, i) => top[i] * (top[3] / 255) + value * (1 - top[3] / 255));
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const own = channels(getComputedStyle(node).backgroundColor);
    return own[3] === 255 ? own.slice(0, 3) : over(own, ground(node.parentElement));
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility() || /SCRIPT|STYLE/.test(node.tagName)) continue;
    const back = ground(node);
    const [dark, bright] = [light(over(channels(getComputedStyle(node).color), back)), light(back)].sort();
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim()}`);
  }
  return found;
}
"""


async def faint_texts(page: Page) -> list[str]:
    """The texts on a page that stand out too little: a contrast below 4.5, WCAG 2.2's criterion 1.4.3."""
    found: list[str] = await page.evaluate(_FAINT)
    return found
