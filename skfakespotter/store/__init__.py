"""Store: what the network said about each face, so that no picture crosses it twice."""

from .store import CoverageStore, open_store, user_cache_folder

__all__ = ["CoverageStore", "open_store", "user_cache_folder"]
