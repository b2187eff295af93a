"""Tables: how results become data frames and CSV files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from skfakespotter._typing import Path

if TYPE_CHECKING:
    from pandas import DataFrame


class Table:
    """Mixin of tabular results; a subclass has ``_columns()``, a dict of equally long lists.

    Examples
    --------
    >>> from skfakespotter._tables import Table
    >>> class Squares(Table):
    ...     def _columns(self):
    ...         return {"n": [1, 2], "square": [1, 4]}
    >>> Squares().to_frame()["square"].tolist()
    [1, 4]
    """

    def to_frame(self) -> DataFrame:
        """Return the result as a tidy table.

        Returns
        -------
        pandas.DataFrame
            One row a measurement.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError(
                'to_frame needs pandas: pip install "skfakespotter[pandas]"'
            ) from error
        return DataFrame(self._columns())

    def to_csv(self, path: Path) -> None:
        """Write the tidy table as CSV, with a header row and all digits; needs no pandas.

        Parameters
        ----------
        path : path
            File to write; one that exists is replaced.
        """
        write_csv(path, self._columns())

    def _columns(self) -> dict[str, list]:
        raise NotImplementedError(f"{type(self).__name__} has no _columns()")


def write_csv(path: Path, columns: Mapping[str, Sequence]) -> None:
    """Write columns as a CSV file with a header row, in UTF-8.

    Parameters
    ----------
    path : path
        File to write; one that exists is replaced.
    columns : dict of str to sequence
        Equally long columns by name.

    Raises
    ------
    ValueError
        When the columns differ in length.

    Examples
    --------
    >>> import os, tempfile
    >>> from skfakespotter._tables import write_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.csv")
    ...     write_csv(path, {"pair": ["stylegan"], "auc": [0.95]})
    ...     with open(path) as file:
    ...         file.read().splitlines()
    ['pair,auc', 'stylegan,0.95']
    """
    rows = list(zip(*columns.values(), strict=True))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
