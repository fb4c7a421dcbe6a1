"""Token ids of both model families: where the prompt ends, where the loss falls, on which side the padding is."""

import torch

from flix_lightning.data.tokens.encoding import IGNORE, encode, generation_batch, training_batch, undated
from flix_lightning.models.tiny_bytes import byte_tokenizer
from tests.configs import untrained_backbone

OFFSET = 3  # ByT5: byte b is token b + 3; pad 0, end of text 1


def ids(text: str) -> list[int]:
    return [byte + OFFSET for byte in text.encode()]


def test_a_decoder_only_prompt_ends_in_a_newline_and_has_no_end_of_text():
    (row,) = encode(byte_tokenizer(), ["Parse: é"], ["[X ]"], is_encoder_decoder=False)
    assert row.prompt == ids("Parse: é\n")
    assert row.target == [*ids("[X ]"), 1]


def test_an_encoder_prompt_ends_in_the_end_of_text():
    (row,) = encode(byte_tokenizer(), ["Parse: é"], [""], is_encoder_decoder=True)
    assert row.prompt == [*ids("Parse: é"), 1]
    assert row.target == [1]


def test_a_chat_template_with_todays_date_is_the_same_on_every_day():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (  # as Llama 3.2's
        "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
        "Today: {{ date_string }}, {{ strftime_now('%Y-%m-%d') }}\n{{ messages[0]['content'] }}\n"
    )
    (row,) = encode(tokenizer, ["Parse: é"], ["[X ]"], is_encoder_decoder=False)
    tokenizer.chat_template = "\nNo date. {{ messages[0]['content'] }}"
    assert undated(tokenizer.chat_template) == tokenizer.chat_template
    assert row.prompt == ids("Today: 26 Jul 2024, 2024-07-26\nParse: é")


def test_the_loss_falls_on_target_tokens_only():
    rows = encode(byte_tokenizer(), ["ab", "a"], ["c", "def"], is_encoder_decoder=False)
    batch = training_batch(rows, pad_id=0, is_encoder_decoder=False)
    for i, (row, text) in enumerate(zip(rows, ("c", "def"))):
        kept = batch["labels"][i][batch["labels"][i] != IGNORE]
        assert kept.tolist() == [*ids(text), 1]
        assert batch["attention_mask"][i].sum() == len(row.prompt) + len(row.target)
        assert (batch["labels"][i][: len(row.prompt)] == IGNORE).all()


def test_prompts_to_generate_from_are_padded_before_a_decoder_and_after_for_an_encoder():
    rows = encode(byte_tokenizer(), ["ab", "a"], ["", ""], is_encoder_decoder=False)
    decoder, encoder = generation_batch(rows, 0, False), generation_batch(rows, 0, True)
    assert decoder["input_ids"][1, -2:].tolist() == ids("a\n")
    assert encoder["input_ids"][1, :2].tolist() == ids("a\n")
    assert decoder["attention_mask"].sum() == encoder["attention_mask"].sum() == 3 + 2


def test_padding_does_not_change_the_loss():
    backbone = untrained_backbone()
    rows = encode(backbone.tokenizer, ["a long prompt that needs room", "b"], ["x", "yz"], is_encoder_decoder=False)
    together = loss(backbone.model, training_batch(rows, 0, False))
    alone = sum(loss(backbone.model, training_batch([row], 0, False)) for row in rows)
    torch.testing.assert_close(together, alone)


def loss(model, batch) -> torch.Tensor:
    labels = batch["labels"][:, 1:]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits[labels != IGNORE], labels[labels != IGNORE], reduction="sum")
