"""Writes small files below a folder; where the published files are, if they are on this machine."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[4] / "shared" / "data"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def put_json(path: Path, content: Any) -> Path:
    return put(path, json.dumps(content, ensure_ascii=False))


def put_lines(path: Path, rows: Sequence[Any]) -> Path:
    return put(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def put_csv(path: Path, rows: Sequence[dict[str, Any]], above: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(above)
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
