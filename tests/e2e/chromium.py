"""Where Chromium is, and how the tests start it."""

import shutil

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-site-isolation-trials",
    "--disable-features=SpareRendererForSitePerProcess",
    "--process-per-site",
    "--in-process-gpu",
]


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")
