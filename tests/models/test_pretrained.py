"""Backbones of every named family, tiny and random: tokens, loss, generation, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers import AutoConfig

from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.injection import merge
from flix_lightning.adapters.layer import FeaturizedLinear
from flix_lightning.common.errors import FlixError
from flix_lightning.data.batches import EvalBatch
from flix_lightning.data.tasks import Task
from flix_lightning.data.tokens.encoding import IGNORE, cut, encode, generation_batch, prompt_tail, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.models import pretrained
from flix_lightning.models.backbone import load_backbone
from flix_lightning.models.precision import device_kind
from flix_lightning.models.pretrained import check_device, load_pretrained, own_device
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from tests.commands.test_commands import run_command
from tests.configs import ROOT, SMALL, composed
from tests.families import CHATTY, FAMILIES, HABITS, UNTIED, save_family
from tests.toy import CELLS, fill, toy_composer

NAMED = sorted(
    path.stem for path in (ROOT / "conf/model").glob("*.yaml") if path.stem not in ("tiny", "tiny_bytes", "pretrained")
)
PROMPTS = ["Parse: é", "a longer prompt, of three clauses, é", "x"]
SIZE = 0.4
TARGETS = ["[X ]", "", "a longer target"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Family -> its folder."""
    return {family: save_family(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


def loaded(saved, family: str, **settings):
    return load_pretrained(str(saved[family]), **settings)


def flix(backbone) -> FlixModule:
    """With filled adapters, so that cells differ."""
    module = FlixModule(
        backbone.model, backbone.tokenizer, {t: Task(t, "{input}", "f1", 12) for t in ("ner", "parse", "qa")},
        toy_composer(), FeatureDropout(0.0), Optimization(1e-3), max_steps=1, seed=0,
    )  # fmt: skip
    fill(module.banks, size=SIZE)
    return module.eval()


# --- tokens ---


@pytest.mark.parametrize("family", FAMILIES)
def test_where_prompts_begin_and_end_and_where_the_loss_falls(family, saved):
    backbone = loaded(saved, family)
    is_encoder_decoder, end, _, begin, adds_end, _, _ = HABITS[family]
    tokenizer = backbone.tokenizer
    assert backbone.model.config.is_encoder_decoder == is_encoder_decoder
    rows = encode(tokenizer, PROMPTS, TARGETS, is_encoder_decoder)
    batch = training_batch(rows, tokenizer.pad_token_id, is_encoder_decoder)
    for i, (prompt, target) in enumerate(zip(PROMPTS, TARGETS)):
        read = batch["input_ids"][i][batch["attention_mask"][i].bool()]
        labels = batch["labels"][i]
        wanted = (begin or "") + prompt + (end if adds_end else "" if is_encoder_decoder else "\n" + target + end)
        assert tokenizer.decode(read, skip_special_tokens=False) == wanted
        assert tokenizer.decode(labels[labels != IGNORE], skip_special_tokens=False) == target + end
        if not is_encoder_decoder:
            kept = labels != IGNORE
            assert torch.equal(labels[kept], batch["input_ids"][i][kept])
            assert kept.nonzero()[-1] == batch["attention_mask"][i].sum() - 1, "the loss ends at the end of text"


@pytest.mark.parametrize("family", CHATTY)
def test_chat_template_is_used_when_asked_for_and_ends_answers(family, saved):
    turns = {
        "t5gemma": "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        "gemma3": "<bos><start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
        "qwen3": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
        "llama32": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    }
    ends = {"t5gemma": "<end_of_turn>", "gemma3": "<end_of_turn>", "qwen3": "<|im_end|>", "llama32": "<|eot_id|>"}
    tokenizer = loaded(saved, family, chat_template=True).tokenizer
    (row,) = encode(tokenizer, ["Parse: é"], ["[X ]"], HABITS[family][0])
    assert tokenizer.decode(row.prompt, skip_special_tokens=False) == turns[family].format("Parse: é")
    assert tokenizer.decode(row.target, skip_special_tokens=False) == "[X ]" + ends[family]
    assert tokenizer.eos_token == ends[family], "generation stops where an answer ends"
    short = cut(row, len(row.prompt) - 2, 99, prompt_tail(tokenizer))
    tail = turns[family].partition("{}")[2]
    assert tokenizer.decode(short.prompt, skip_special_tokens=False).endswith(tail), "the answer's turn still begins"
    assert len(short.prompt) == len(row.prompt) - 2


@pytest.mark.parametrize("family", UNTIED)
def test_an_output_embedding_of_its_own_is_not_overwritten(family, saved):
    model, stored = loaded(saved, family).model, load_file(saved[family] / "model.safetensors")
    assert torch.equal(model.lm_head.weight, stored["lm_head.weight"])
    assert not torch.equal(model.lm_head.weight, model.shared.weight)


# --- loss and generation ---


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_transformers(family, saved):
    backbone = loaded(saved, family)
    module = flix(backbone)
    rows = encode(backbone.tokenizer, PROMPTS, TARGETS, HABITS[family][0])
    batch = training_batch(rows, backbone.tokenizer.pad_token_id, HABITS[family][0])
    module.active.set(module.composer.compose(CELLS[:3]))
    with torch.no_grad():
        total = module.target_loss(batch, target_places(batch["labels"], HABITS[family][0]))
        mean = backbone.model(**batch).loss
    count = sum(len(row.target) for row in rows)
    torch.testing.assert_close(total / count, mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mixed_batch_generates_what_its_rows_generate_alone(family, saved):
    backbone = loaded(saved, family)
    module, tokenizer = flix(backbone), backbone.tokenizer
    rows = encode(tokenizer, PROMPTS, TARGETS, HABITS[family][0])
    cells = [CELLS[0], CELLS[5], CELLS[11]]
    batch = generation_batch(rows, tokenizer.pad_token_id, HABITS[family][0])
    together = module.generate(EvalBatch(batch, cells, ["a", "b", "c"], TARGETS, [0, 0, 0], [10] * 3))
    alone = []
    for row, cell in zip(rows, cells):
        module.active.set(module.composer.compose([cell]))
        prompt = torch.tensor([row.prompt])
        tokens = backbone.model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10, do_sample=False,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        )[0]  # fmt: skip
        tokens = tokens if HABITS[family][0] else tokens[len(row.prompt) :]
        alone.append(tokenizer.decode(tokens, skip_special_tokens=True).strip())
    assert together == alone
    assert len(set(together)) > 1, "equal answers would hide a mix-up"


@pytest.mark.parametrize("family", ["flan_t5", "qwen3"])
def test_generation_stops_at_the_end_of_text(family, saved):
    backbone = loaded(saved, family)
    module, tokenizer = flix(backbone), backbone.tokenizer
    rows = encode(tokenizer, PROMPTS[:1], [""], HABITS[family][0])
    batch = EvalBatch(
        generation_batch(rows, tokenizer.pad_token_id, HABITS[family][0]), CELLS[:1], ["a"], [""], [0], [10]
    )
    module.generate(batch)
    tokens = backbone.model.generate(**batch.inputs, max_new_tokens=10, do_sample=False)[0, -10:].tolist()
    last = max(place for place, token in enumerate(tokens[:8]) if tokens.index(token) == place)  # new there
    assert last > 0
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(tokens[last])  # an ordinary token: its text may be shown
    shown = [tokenizer.decode(tokens[:end], skip_special_tokens=True).strip() for end in (last, last + 1)]
    assert module.generate(batch)[0] in shown
    assert tokenizer.decode(tokens, skip_special_tokens=True).strip() not in shown


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_with_activations_recomputed(family, saved):
    gradients = []
    for recompute in (False, True):
        backbone = loaded(saved, family)
        if recompute:
            backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
        module = flix(backbone).train()
        rows = encode(backbone.tokenizer, PROMPTS, TARGETS, HABITS[family][0])
        module.active.set(module.composer.compose(CELLS[:3]))
        batch = training_batch(rows, backbone.tokenizer.pad_token_id, HABITS[family][0])
        module.target_loss(batch, target_places(batch["labels"], HABITS[family][0])).backward()
        gradients.append([p.grad for bank in module.banks for p in (bank.lora_a, bank.lora_b)])
    assert all(g.any() for g in gradients[0])
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(plain, recomputed, rtol=1e-3, atol=1e-4)


def test_weights_and_attention_are_of_the_kind_asked_for(saved):
    model = loaded(saved, "qwen3", dtype="bfloat16", attention="eager").model
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "eager"


# --- configs and errors ---


@pytest.mark.parametrize("choice", NAMED)
def test_every_named_model_that_is_not_here_says_how_to_get_it(choice, monkeypatch, tmp_path):
    section = composed(f"model={choice}")["model"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FlixError) as caught:
        load_backbone({**section, "name": section["name"] + "-absent"})
    assert f"hf download {section['name']}-absent" in str(caught.value)
    assert "local folder" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "told"), [(GatedRepoError, "hf auth login"), (RepositoryNotFoundError, "no model of that name")]
)
def test_what_the_hub_refuses_is_explained(error, told, monkeypatch):
    def refuse(*_, **__):
        import httpx

        raise OSError("refused") from error(
            "no", response=httpx.Response(403, request=httpx.Request("GET", "http://x"))
        )

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(FlixError, match=told):
        load_pretrained("some/model")


def test_impossible_settings_name_what_is_possible(saved):
    for settings, told in {
        ("dtype", "float8"): "unknown model.dtype 'float8'.*bfloat16",
        ("quantization", "2bit"): "unknown model.quantization '2bit'.*4bit, 8bit",
        ("attention", "fused"): "fused",
    }.items():
        with pytest.raises(FlixError, match=told):
            load_pretrained(str(saved["qwen3"]), **dict([settings]))
    with pytest.raises(FlixError, match="chat_template: the tokenizer of .* has none"):
        load_pretrained(str(saved["smollm2"]), chat_template=True)
    with pytest.raises(FlixError, match="'./nowhere' cannot be loaded: there is no such folder"):
        load_pretrained("./nowhere")


@pytest.mark.parametrize(
    ("variables", "device"),
    [
        ({}, "cuda:0"),
        ({"LOCAL_RANK": "2"}, "cuda:2"),
        ({"SLURM_LOCALID": "3"}, "cuda:3"),
        ({"LOCAL_RANK": "1", "SLURM_LOCALID": "0"}, "cuda:1"),  # torchrun below srun
        ({"SLURM_LOCALID": "6"}, "cuda:2"),
    ],
)
def test_a_process_puts_quantized_weights_on_its_own_device(variables, device, monkeypatch):
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert own_device() == device


def test_weights_on_another_kind_of_device_than_the_run_s_are_told(saved):
    model = loaded(saved, "qwen3").model
    check_device(model, "cpu")
    with pytest.raises(FlixError, match="trainer.accelerator=cpu is a cpu, and the model's weights lie on meta"):
        check_device(model.to("meta"), "cpu")


def test_without_bitsandbytes_quantization_says_what_to_install(saved, monkeypatch):
    monkeypatch.setattr(pretrained, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(FlixError, match=r"quantization=4bit needs bitsandbytes: pip install 'flix-lightning.quantized"):
        load_pretrained(str(saved["qwen3"]), quantization="4bit")


def test_code_of_a_model_runs_only_when_asked_for(saved, tmp_path):
    folder = save_family("qwen3", tmp_path / "custom")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd", "AutoModelForCausalLM": "odd.OddForCausalLM"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "odd.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from transformers import Qwen3Config, Qwen3ForCausalLM\n"
        "class Odd(Qwen3Config):\n    model_type = 'odd'\n"
        "class OddForCausalLM(Qwen3ForCausalLM):\n    config_class = Odd\n"
    )
    with pytest.raises(FlixError, match="set trust_remote_code=true"):
        load_pretrained(str(folder))
    assert not (tmp_path / "ran").exists()
    assert type(load_pretrained(str(folder), trust_remote_code=True).model).__name__ == "OddForCausalLM"


# --- quantized weights ---


class Packed(nn.Linear):
    """Stands for bitsandbytes' layers: a linear whose weight is whole numbers of no linear's shape."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None)
        self.step = linear.weight.abs().max() / 127
        packed = (linear.weight / self.step).round().to(torch.int8).view(torch.uint8).reshape(-1, 1)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = linear.bias

    def dequantized(self) -> torch.Tensor:
        return self.weight.view(torch.int8).reshape(self.out_features, self.in_features) * self.step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.dequantized().to(x.dtype), self.bias)


@pytest.mark.slow
@pytest.mark.skipif(device_kind() != "cpu", reason="quantized weights lie on the GPU where there is one")
@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
@pytest.mark.parametrize("family", ["qwen3", "mt5"])
def test_a_quantized_model_trains_and_answers_in_a_mixed_batch(family, quantization, saved):
    """On a CPU. What a mixed batch is answered is what its rows are alone, by the same quantized layers."""
    pytest.importorskip("bitsandbytes")
    backbone = loaded(saved, family, quantization=quantization)
    kind = backbone.model.config.is_encoder_decoder
    module = flix(backbone)
    assert not any(bank.weight.is_floating_point() for bank in module.banks[:2])
    cells, pad = CELLS[:3], backbone.tokenizer.pad_token_id
    rows = encode(backbone.tokenizer, PROMPTS, TARGETS, kind)
    batch = training_batch(rows, pad, kind)

    def loss(inputs, cells):
        module.active.set(module.composer.compose(cells))
        return module.target_loss(inputs, target_places(inputs["labels"], kind))

    total = loss(batch, cells)
    alone = [loss({key: value[i : i + 1] for key, value in batch.items()}, [cells[i]]) for i in range(3)]
    torch.testing.assert_close(total, sum(alone), rtol=2e-2, atol=0)
    assert len({round(one.item(), 2) for one in alone}) == 3
    total.backward()
    assert all(bank.lora_a.grad.any() and bank.lora_b.grad.any() for bank in module.banks)
    optimizer = module.configure_optimizers()["optimizer"]
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    optimizer.step()
    with torch.no_grad():
        assert loss(batch, cells) < total
    module.zero_grad()
    loss(batch, cells).backward()
    before = [bank.lora_a.grad.clone() for bank in module.banks]
    prompts = EvalBatch(generation_batch(rows, pad, kind), cells, [*"abc"], TARGETS, [0] * 3, [6] * 3)
    assert len(module.eval().generate(prompts)) == 3
    module.zero_grad()
    loss(batch, cells).backward()
    for bank, gradient in zip(module.banks, before):
        torch.testing.assert_close(bank.lora_a.grad, gradient, msg="as before answers were generated")
    with pytest.raises(FlixError, match="quantized weights cannot be merged"):
        merge(backbone.model, *(part[0] for part in module.composer.compose(cells[:1])))


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_a_run_over_quantized_weights_is_trained_scored_again_and_answers(quantization, saved, monkeypatch, capfd):
    """As a user types it; the scores are those of the record, since the same weights are quantized the same way; on a
    GPU nearly so: batches of other rows are rounded otherwise there.
    """
    pytest.importorskip("bitsandbytes")
    model = (f"model.name={saved['qwen3']}", f"model.quantization={quantization}", "trainer.accelerator=auto")
    assert run_command("train", "model=pretrained", *SMALL, *model, monkeypatch=monkeypatch) == 0
    (run,) = Path("runs").glob("*/*")
    record = json.loads((run / "record.json").read_text())
    assert record["steps"] == 6 and record["config"]["model"]["quantization"] == quantization
    cells = ("tasks=[semantic_parsing,translation]", "languages=[sw,yo,bn]")
    assert run_command("evaluate", f"run={run}", *cells, monkeypatch=monkeypatch) == 0
    scores = {(row["task"], row["language"]): row["score"] for row in record["cells"]}
    again = json.loads((run / "scores-cldr-test.json").read_text())["cells"]
    rounded = 0.0 if device_kind() == "cpu" else 3.0
    assert again and all(abs(row["score"] - scores[row["task"], row["language"]]) <= rounded for row in again)
    capfd.readouterr()
    asked = ("task=semantic_parsing", "language=sw", "text=tarehe 3")
    assert run_command("generate", f"run={run}", *asked, monkeypatch=monkeypatch) == 0
    assert "Traceback" not in capfd.readouterr().err


def test_banks_train_over_quantized_weights(saved):
    backbone = loaded(saved, "qwen3")
    for name, module in list(backbone.model.named_modules()):
        if isinstance(module, nn.Linear) and module is not backbone.model.lm_head:
            parent, _, child = name.rpartition(".")
            setattr(backbone.model.get_submodule(parent), child, Packed(module))
    module = flix(backbone)
    bank: FeaturizedLinear = module.banks[0]
    assert isinstance(bank.base, Packed) and len(module.banks) == 14
    composition = module.composer.compose(CELLS[:2])
    module.active.set(composition)
    x = torch.randn(2, 5, bank.in_features, requires_grad=True)
    updates = torch.stack([x[i] @ bank.delta_weight(composition.index[i], composition.weight[i]).T for i in range(2)])
    torch.testing.assert_close(bank(x), x @ bank.base.dequantized().T + updates)
    rows = encode(backbone.tokenizer, PROMPTS[:2], TARGETS[:2], False)
    batch = training_batch(rows, backbone.tokenizer.pad_token_id, False)
    module.target_loss(batch, target_places(batch["labels"], False)).backward()
    assert {name.rpartition(".")[2] for name, p in module.named_parameters() if p.grad is not None} == {
        "lora_a", "lora_b"}  # fmt: skip
    assert all(bank.lora_a.grad.any() for bank in module.banks)
    with pytest.raises(FlixError, match="quantized weights cannot be merged"):
        merge(backbone.model, composition.index[0], composition.weight[0])
