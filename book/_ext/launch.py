"""Launch buttons only where there is a repository to launch from: without one the theme fails."""

from typing import Any


def _only_with_address(app: Any, config: Any) -> None:
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def setup(app: Any) -> dict[str, bool]:
    app.connect("config-inited", _only_with_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
