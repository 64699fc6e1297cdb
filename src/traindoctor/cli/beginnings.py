"""`init` and `new-probe`: beginnings to complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traindoctor.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: traindoctor init . -o traindoctor_setup.py")(init)
    app.command(
        "new-probe", epilog="Example: traindoctor new-probe swapped-channels --family data"
    )(new_probe)


def init(
    folder: Annotated[Path, typer.Argument(help="The project, or one file of it.")] = Path(),
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The factory.")
    ] = Path("traindoctor_setup.py"),
) -> None:
    """Begin a factory out of a project's own statements.

    The project is read and not run, for where it builds model, loader and optimizer. What cannot
    be found is left as `...` to complete.
    """
    from traindoctor.cli.reading import source_files
    from traindoctor.scaffolding.factory import write_factory
    from traindoctor.scaffolding.project import find_parts

    if output.exists():
        raise UsageError(f"there is a file {output} already; name another with --output")
    files = [file for file in source_files([folder]) if file != output.absolute()]
    parts = find_parts(files)
    root = Path.cwd()
    made = write_factory(parts, files, output.absolute(), root)
    output.write_text(made.text, encoding="utf-8")
    from traindoctor.report.renderers.page import harmless

    for part in parts.values():
        place = f"{part.scope.file}:{part.node.lineno}".removeprefix(f"{root}/")
        typer.echo(harmless(f"{part.key:10}{place}"))
    if made.missing:
        typer.echo(f"to complete in {output}: {', '.join(made.missing)}")
    for name in made.runs_on_import:
        guard = 'if __name__ == "__main__":'
        typer.echo(f"{name} trains when it is imported: move that below `{guard}`")
    typer.echo(f"then: traindoctor check {output}:setup")


def new_probe(
    name: Annotated[
        str, typer.Argument(help="Of the rule: the illness, such as swapped-channels.")
    ],
    family: Annotated[
        str, typer.Option("--family", metavar="FAMILY", help="As a report names it: data …")
    ],
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="A checkout, or a package of yours.")
    ] = Path(),
) -> None:
    """Begin a probe, with its programs and its test.

    Each file says what is to be replaced. The test passes as it stands, on rows of its own.
    """
    from traindoctor.probing.registry import all_rules
    from traindoctor.scaffolding.probe import PACKAGE, begin_probe

    texts = begin_probe(name, family, all_rules(), folder)
    for path in texts:
        if path.exists():
            raise UsageError(f"there is a file {path} already")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(str(path))
    if (folder / PACKAGE).is_dir():
        typer.echo("probes/README.md says what a rule must prove before it speaks")
    else:
        entry = '[project.entry-points."traindoctor.probes"] yours = "your_package"'
        typer.echo(f"traindoctor finds it by your pyproject.toml: {entry}")
