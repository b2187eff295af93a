"""Table: one way to save what a benchmark has measured, for people and for programs."""

import csv


def save_table(out, name, title, command, header, rows, notes=()):
    """Write ``name.md`` and ``name.csv``, and print the former.

    Parameters
    ----------
    out : Path
        Folder; it is made.
    name, title : str
        Of the files, and their heading.
    command : str
        What makes them.
    header : sequence of str
        Names of the columns.
    rows : sequence of sequence
        Cells.
    notes : sequence of str
        Paragraphs below the table.
    """
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    text = "\n\n".join([f"# {title}", f"`{command}`", table, *notes]) + "\n"
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    with open(out / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
