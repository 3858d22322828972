"""`vanishpoint schema`: the JSON Schema of a file format, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.output import print_json
from orchestrator.errors import InputError

_FILES = {"inventory": Path("inventory/schema.json"), "playbook": Path("playbooks/schema.json")}


@click.command("schema")
@click.argument("kind", type=click.Choice(list(_FILES)))
@click.option("--write", is_flag=True, help="Write it below the working directory, where the examples look for it.")
def command(kind: str, *, write: bool) -> None:
    """Print the JSON Schema of inventories or playbooks.

    Example: vanishpoint schema inventory > inventory/schema.json
    """
    from orchestrator.config.schemas import json_schema  # pydantic takes its time

    schema = json_schema(kind)
    if not write:
        print_json(schema)
        return
    target = _FILES[kind]
    try:
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(schema, indent=2, ensure_ascii=True) + "\n", encoding="utf-8")
    except OSError as reason:
        msg = f"{target}: {reason.strerror}"
        raise InputError(msg, hint="Run it in the directory that holds inventory/ and playbooks/.") from reason
    click.echo(str(target))
