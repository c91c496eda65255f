"""The page at `/` and the documentation at `/docs`, with all their files: nothing is loaded from other hosts."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

_PAGE = Path(__file__).with_name("page")
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"


def add_pages(app: FastAPI) -> None:
    """Add the routes of the pages. Links in the pages are relative, so they work below any root path."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    # FastAPI's own documentation page contains an inline script, which the content security policy forbids.
    @app.get("/docs", include_in_schema=False)
    async def documentation() -> FileResponse:
        return FileResponse(_PAGE / "docs.html")

    app.mount("/assets/swagger-ui", StaticFiles(directory=_SWAGGER_UI))
    app.mount("/assets", StaticFiles(directory=_PAGE))
