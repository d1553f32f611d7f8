"""A browser for the tests that show widgets in plain pages."""

from __future__ import annotations

import pytest

from fixtures.chromium import open_page


@pytest.fixture(scope="module")
def browser():
    with open_page() as page:
        yield page.context.browser
