"""Every family of transformers that adapters go into is right by six judges; the others are refused in one line."""

import copy
from dataclasses import dataclass

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.features import Featurizer
from flix_lightning.adapters.injection import featurized_linears, inject, merge
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import SHARED
from flix_lightning.data.tokens.encoding import Encoded, generation_batch, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.models.generation import new_tokens
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from tests.toy import CELLS, EOS, PAD, VOCAB, fill, toy_composer
from tests.zoo import FAMILIES, family

NEW = 20  # tokens of an answer: more than keys and values are first given room for
ROWS = 4
SERVED = [CELLS[i] for i in (0, 5, 11, 5)]
EVERY_DAY = ("llama", "gemma3_text", "gpt2", "bloom", "mixtral", "bart", "m2m_100")  # the others are slow tests


@pytest.fixture(params=[f if f in EVERY_DAY else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def name(request):
    return request.param


def rows() -> list[Encoded]:
    """Prompts and targets of several lengths."""
    draw = torch.Generator().manual_seed(0)
    lengths = ((9, 3), (4, 6), (7, 1), (12, 4))
    prompts, targets = (
        [torch.randint(3, VOCAB, (n,), generator=draw).tolist() for n in part] for part in zip(*lengths)
    )
    return [Encoded(prompt, [*target, EOS]) for prompt, target in zip(prompts, targets)]


@dataclass
class Adapted:
    """A family's model as it comes, and with filled adapters."""

    bare: PreTrainedModel
    module: FlixModule

    @property
    def backbone(self) -> PreTrainedModel:
        return self.module.backbone

    def serve(self, cells) -> None:
        self.module.active.set(self.module.composer.compose(cells))

    def merged(self, cell) -> PreTrainedModel:
        """The plain model of one cell."""
        twin = copy.deepcopy(self.backbone)
        one = self.module.composer.compose([cell])
        merge(twin, one.index[0], one.weight[0])
        return twin


@pytest.fixture
def adapted(name) -> Adapted:
    bare = family(name)
    optimization = Optimization(1e-3)
    try:
        module = FlixModule(
            copy.deepcopy(bare), None, {}, toy_composer(), FeatureDropout(0.0), optimization, 1, 0, scaling=0.5
        )
    except FlixError as error:
        pytest.skip(str(error))
    fill(module.banks)
    module.backbone.eval()
    return Adapted(bare, module)


def logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**batch, use_cache=False).logits


def whole_rows(backbone: PreTrainedModel, count: int = ROWS) -> dict[str, Tensor]:
    """Prompts of one length, with what a decoder reads."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(3, VOCAB, (count, 9), generator=draw)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if backbone.config.is_encoder_decoder:
        batch["decoder_input_ids"] = torch.randint(3, VOCAB, (count, 6), generator=draw)
    return batch


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())


def test_fresh_adapters_change_nothing(adapted):
    batch = whole_rows(adapted.bare)
    with torch.no_grad():
        for bank in adapted.module.banks:
            bank.lora_b.zero_()
    adapted.serve(SERVED)
    assert torch.equal(logits(adapted.backbone, batch), logits(adapted.bare, batch))


def test_a_mixed_batch_is_its_rows_alone_and_each_the_merged_model(adapted):
    batch, bare = whole_rows(adapted.bare), logits(adapted.bare, whole_rows(adapted.bare))
    adapted.serve(SERVED)
    together = logits(adapted.backbone, batch)
    for row, cell in enumerate(SERVED):
        one = {key: tensor[row : row + 1] for key, tensor in batch.items()}
        adapted.serve([cell])
        alone = logits(adapted.backbone, one)
        close(together[row : row + 1], alone)
        close(alone, logits(adapted.merged(cell), one))
        assert (alone - bare[row : row + 1]).abs().max() > 1e-2 * bare.abs().max(), "the adapters do something"


def test_the_loss_is_that_of_transformers_on_the_merged_models(adapted):
    is_encoder_decoder = adapted.bare.config.is_encoder_decoder
    batch = training_batch(rows(), PAD, is_encoder_decoder)
    adapted.serve(SERVED)
    wanted = 0.0
    for row, cell in zip(rows(), SERVED):
        padded = training_batch([row], PAD, is_encoder_decoder)
        one = {key: padded[key][:, :width] for key, width in zip(padded, widths(row, is_encoder_decoder))}
        one = {key: tensor.contiguous() for key, tensor in one.items()}
        with torch.no_grad():
            wanted += adapted.merged(cell)(**one, use_cache=False).loss * len(row.target)
    total = adapted.module.target_loss(batch, target_places(batch["labels"], is_encoder_decoder))
    torch.testing.assert_close(total, wanted, rtol=1e-4, atol=1e-3)


def widths(row: Encoded, is_encoder_decoder: bool) -> tuple[int, int, int]:
    """Of inputs, mask and labels without padding."""
    both = len(row.prompt) + len(row.target)
    return (len(row.prompt),) * 2 + (len(row.target),) if is_encoder_decoder else (both,) * 3


def test_every_adapter_learns_in_a_training_step(adapted):
    adapted.backbone.train()
    is_encoder_decoder = adapted.bare.config.is_encoder_decoder
    batch = training_batch(rows(), PAD, is_encoder_decoder)
    adapted.serve(SERVED)
    for seed in range(2):
        torch.manual_seed(seed)
        adapted.module.zero_grad()
        adapted.module.target_loss(batch, target_places(batch["labels"], is_encoder_decoder)).backward()
        still = [path for path, bank in featurized_linears(adapted.backbone).items() if bank.lora_b.grad is None]
        assert not still


def test_answers_are_those_of_transformers_greedy_search_on_the_merged_models(adapted):
    is_encoder_decoder = adapted.bare.config.is_encoder_decoder
    clean = {"do_sample": False, "num_beams": 1, "pad_token_id": PAD, "max_new_tokens": NEW}
    wanted = []
    for row, cell in zip(rows(), SERVED):
        merged = adapted.merged(cell)
        merged.generation_config = GenerationConfig()
        start = {"decoder_start_token_id": merged.config.decoder_start_token_id} if is_encoder_decoder else {}
        prompt = torch.tensor([row.prompt])
        config = GenerationConfig(**clean, **start, eos_token_id=VOCAB + 1)
        tokens = merged.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        wanted.append(tokens[0, 1 if is_encoder_decoder else len(row.prompt) :].tolist())
    assert len(set(map(tuple, wanted))) > 2, "equal answers would hide a mix-up"
    assert sum(len(set(said)) for said in wanted) > 2 * ROWS, "answers of one token would hide wrong positions"
    end = max(range(3, VOCAB), key=lambda token: len({said.index(token) for said in wanted if token in said}))
    cut = [said[: said.index(end) + 1] if end in said else said for said in wanted]
    assert len(set(map(len, cut))) > 1, "rows that end together would hide a mix-up"
    adapted.serve(SERVED)
    found = new_tokens(adapted.backbone, generation_batch(rows(), PAD, is_encoder_decoder), [NEW] * ROWS, PAD, end)
    for said, answer in zip(cut, found.tolist(), strict=True):
        assert answer[: len(said)] == said
        assert answer[len(said) :] == [PAD] * (found.shape[1] - len(said))


def test_one_shared_feature_is_peft_s_lora(name, adapted):
    rank, batch = 4, whole_rows(adapted.bare, 3)
    composer = toy_composer(Featurizer((SHARED,)), RankAllocation({SHARED: rank}))
    ours, active = copy.deepcopy(adapted.bare), ActiveComposition(composer.total_rank)
    fill(inject(ours, composer.total_rank, active, scaling=2.0))
    active.set(composer.compose(CELLS[:3]))
    targets = list(featurized_linears(ours))
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    theirs = get_peft_model(copy.deepcopy(adapted.bare), config).eval()
    with torch.no_grad():
        for path, bank in featurized_linears(ours).items():
            layer = theirs.base_model.model.get_submodule(path)
            layer.lora_A["default"].weight.copy_(bank.lora_a)
            layer.lora_B["default"].weight.copy_(bank.lora_b.T)
    close(logits(ours, batch), logits(theirs, batch))
    for model in (ours, theirs):
        model(**batch, use_cache=False).logits.square().mean().backward()
    for path, bank in featurized_linears(ours).items():
        layer = theirs.base_model.model.get_submodule(path)
        close(bank.lora_a.grad, layer.lora_A["default"].weight.grad)
        close(bank.lora_b.grad, layer.lora_B["default"].weight.grad.T)
