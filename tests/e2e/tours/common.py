"""What the tours share."""

from collections.abc import Iterator

from playwright.sync_api import Page

# The name of a state, and the page that shows it.
type Views = Iterator[tuple[str, Page]]
WHY = "Unpaid since March"
CHECK_PLATFORM = "document.dispatchEvent(new Event('visibilitychange'))"
