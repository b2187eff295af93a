"""Table: one way to save what a benchmark has measured, for people and for programs."""

import csv


def format_table(header, rows):
    """Format rows as a Markdown table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence
        Cells.

    Returns
    -------
    str
        Without a line break at the end.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spell(value, low, high, digits=3, sign=""):
    """Return a figure with its interval, in digits; ``sign="+"`` for a difference."""
    value, low, high = (f"{number:{sign}.{digits}f}" for number in (value, low, high))
    return f"{value} [{low}, {high}]"


def write_csv(path, header, rows):
    """Write rows as CSV, with all digits."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_page(path, title, command, *parts):
    """Write a Markdown page and print it.

    Parameters
    ----------
    path : Path
        File; its folder is made.
    title, command : str
        Heading, and what makes the page.
    *parts : str
        Paragraphs and tables.
    """
    text = "\n\n".join([f"# {title}", f"`{command}`", *parts]) + "\n"
    print(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


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
    write_page(out / f"{name}.md", title, command, format_table(header, rows), *notes)
    write_csv(out / f"{name}.csv", header, rows)
