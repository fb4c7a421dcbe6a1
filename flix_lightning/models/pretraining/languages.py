"""The languages of pretraining: all that a cell uses, and others for questions only."""

from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.benchmarks.cldr_compositional.tasks import LANGUAGES as ANSWERS

SPOKEN = tuple(sorted({code for codes in CELLS.values() for code in codes} | set(ANSWERS.values())))
ASKED = tuple("cs da el fa he it nl pl sv uk vi zh".split())  # no cell has one of them
EVERY = tuple(sorted({*SPOKEN, *ASKED}))
