"""FLix Lightning: one frozen language model for many tasks in many languages, by featurized low-rank mixtures.

The public names are those of `__init__.pyi`; each is imported when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
