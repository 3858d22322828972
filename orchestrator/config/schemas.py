"""JSON Schemas of the files we read, for the completion and checks of editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.config.inventory_schema import InventoryFile
from orchestrator.config.playbook_schema import PlaybookFile

if TYPE_CHECKING:
    from pydantic import BaseModel

_MODELS: dict[str, type[BaseModel]] = {"inventory": InventoryFile, "playbook": PlaybookFile}


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of *kind*, ``inventory`` or ``playbook``."""
    schema = _MODELS[kind].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"vanishpoint {kind}"}
