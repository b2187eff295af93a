"""A contract of ours for import-linter; pyproject.toml lists the contracts."""

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from importlinter import Contract, ContractCheck, output


class NoCircles(Contract):
    """No module may import itself by way of others, its own package included.

    import-linter's own contract looks at the modules of one package at a time, and does not
    see a module that imports from the package it is in.
    """

    type_name = "no_circles"

    def check(self, graph, verbose):
        """Sort the modules so that each comes after those it imports.

        Parameters
        ----------
        graph : grimp.ImportGraph
            Who imports whom.
        verbose : bool
            Unused.

        Returns
        -------
        ContractCheck
            Broken when there is no such order.
        """
        imports = {m: graph.find_modules_directly_imported_by(m) for m in sorted(graph.modules)}
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"circle": error.args[1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check):
        """Print the circle.

        Parameters
        ----------
        check : ContractCheck
            What :meth:`check` returned.
        """
        circle = check.metadata["circle"]
        for imported, importer in pairwise(circle):
            output.print_error(f"- {importer} imports {imported}", bold=False)
        output.new_line()
