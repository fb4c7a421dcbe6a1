# The public names: `__init__.py` imports them from here when they are first used, and type checkers read them here.

from .adapters.active import ActiveComposition as ActiveComposition
from .adapters.bank import Bank as Bank
from .adapters.composition import Composer as Composer
from .adapters.composition import Composition as Composition
from .adapters.dropout import FeatureDropout as FeatureDropout
from .adapters.features import Feature as Feature
from .adapters.features import FeatureSpace as FeatureSpace
from .adapters.features import Featurizer as Featurizer
from .adapters.injection import inject as inject
from .adapters.layer import FeaturizedLinear as FeaturizedLinear
from .adapters.ranks import RankAllocation as RankAllocation
from .adapters.strengths import Strengths as Strengths
from .common.errors import FlixError as FlixError
from .data.benchmarks.benchmark import Benchmark as Benchmark
from .data.benchmarks.benchmark import Example as Example
from .data.benchmarks.cldr.benchmark import Cldr as Cldr
from .data.cells import Cell as Cell
from .data.mixture import Mixture as Mixture
from .data.tasks import Task as Task
from .inference.model import FlixModel as FlixModel
from .models.backbone import Backbone as Backbone
from .models.pretrained import load_pretrained as load_pretrained
from .models.tiny import load_tiny as load_tiny
from .training.optimizer import ActiveRowsAdamW as ActiveRowsAdamW

__version__: str
