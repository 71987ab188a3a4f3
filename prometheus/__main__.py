"""Writes ``rules-native`` from ``rules``: ``python -m prometheus``."""

from pathlib import Path

from prometheus import native

HERE = Path(__file__).parent
NOTE = (
    "# Written by `make rules` from prometheus/rules/{}, for a Prometheus with native histograms.\n"
)

for source in (HERE / "rules").glob("*.yml"):
    text = NOTE.format(source.name) + native.rules(source.read_text(encoding="utf-8"))
    (HERE / "rules-native" / source.name).write_text(text, encoding="utf-8")
