"""`rules`, `explain` and `schema`: the manual, made from what the rules say of themselves."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Form(str, Enum):
    """How to list."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: traindoctor rules --format json")(rules)
    app.command(epilog="Example: traindoctor explain TD201")(explain)
    app.command(epilog="Example: traindoctor schema > traindoctor-schema.json")(schema)


def rules(
    form: Annotated[Form, typer.Option("--format", help="text or json.")] = Form.TEXT,
) -> None:
    """List every rule there is."""
    from traindoctor.cli.handbook import rules_json, rules_text

    typer.echo(rules_json() if form is Form.JSON else rules_text(), nl=False)


def explain(
    rule: Annotated[str, typer.Argument(help="Code or name, such as TD201 or no-gradient.")],
) -> None:
    """Say what a rule means and what helps.

    The page holds what it is, why it matters, when it may be wrong, the ways out, and what its
    probe measures.
    """
    from traindoctor.cli.handbook import explanation

    typer.echo(explanation(rule), nl=False)


def schema() -> None:
    """Print the JSON schema of a report."""
    from importlib.resources import files

    text = files("traindoctor.report").joinpath("schema.json").read_text(encoding="utf-8")
    typer.echo(text, nl=False)
