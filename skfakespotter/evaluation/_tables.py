"""Tables: how results become data frames and CSV files."""

import csv


class Table:
    """Mixin of tabular results; a subclass gives ``_columns()``, a dict of equally long lists."""

    def to_frame(self):
        """Give the result as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row a measurement.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        return make_frame(self._columns())

    def to_csv(self, path):
        """Write the tidy table as CSV, with a header row and all digits; needs no pandas.

        Parameters
        ----------
        path : path
            File to write; one that exists is replaced.
        """
        columns = self._columns()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def make_frame(data, **options):
    """Make a :class:`pandas.DataFrame`, or say how to install pandas.

    Parameters
    ----------
    data : dict or sequence
        What the frame holds.
    **options
        To :class:`pandas.DataFrame`.

    Returns
    -------
    pandas.DataFrame
        The frame.

    Raises
    ------
    ImportError
        When pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ImportError('to_frame needs pandas: pip install "skfakespotter[pandas]"') from error
    return DataFrame(data, **options)
