"""Cache: what the network said about each face, so that no picture crosses it twice."""

from skfakespotter._names import public_names
from skfakespotter.cache._cache import CoverageCache, open_cache, user_cache_folder
from skfakespotter.cache._cached import CachedStatistics

__all__ = ["CachedStatistics", "CoverageCache", "open_cache", "user_cache_folder"]

__getattr__, __dir__ = public_names(__name__)
