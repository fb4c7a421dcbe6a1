"""A tokenizer cut to the tokens of some texts splits each of them as before."""

import json
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from flix_lightning.common.errors import FlixError
from flix_lightning.data.languages import in_words
from flix_lightning.models.vocabulary.tokenizer import kept_ids, smaller

SPECIAL = ["<pad>", "</s>", "<s>", "<unk>"]
WORDS = (
    "habari ya asubuhi", "good morning to all",
    "\u09b8\u09c1\u09aa\u09cd\u09b0\u09ad\u09be\u09a4 \u09b8\u09ac\u09be\u0987",
    "\u5927\u5bb6\u65e9\u4e0a\u597d", "caf\u00e9 na\u00efve \u00fcber", "aaaa aaa aa", "12 12 2022",
)  # fmt: skip
PIECES = [*" ".join(WORDS).split(), "hab", "mor", "a", " ", "\n\n", "<turn>", "\u00e9", "\U0001f30d", "x"]
CORPUS = [" ".join(random.Random(n).choices(" ".join(WORDS).split(), k=6)) for n in range(300)]
SPLIT = Regex(r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+")
KINDS = ("byte-level", "ignoring merges", "byte fallback", "likeliest path", "longest pieces", "words")


@cache
def made(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a kind, trained on `CORPUS`; two tokens are added, one of them special."""
    known = {"special_tokens": SPECIAL, "show_progress": False}
    if kind in ("byte-level", "ignoring merges"):
        tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "ignoring merges"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(SPLIT, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **known)
    elif kind == "byte fallback":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        known["special_tokens"] = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=480, limit_alphabet=40, **known)
    elif kind == "likeliest path":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=160, unk_token="<unk>", **known)
    elif kind == "longest pieces":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=200, **known)
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(**known)
    tokenizer.train_from_iterator(CORPUS, trainer)
    if kind == "byte fallback":  # its bytes are plain tokens, as in the models that have them
        rules = json.loads(tokenizer.to_str())
        rules["added_tokens"] = [token for token in rules["added_tokens"] if token["content"] in SPECIAL]
        tokenizer = Tokenizer.from_str(json.dumps(rules))
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False), AddedToken("<turn>", special=True)])
    pairs = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", pairs)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


TEXT = st.builds(
    str.join, st.sampled_from(["", " "]), st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8)
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_every_text_is_split_as_before_and_reads_the_same(kind, texts):
    tokenizer = made(kind)
    before = tokenizer(texts).input_ids
    kept = kept_ids(tokenizer, {number for row in before for number in row})
    cut = smaller(tokenizer, kept)
    after = cut(texts).input_ids
    assert [[kept[number] for number in row] for row in after] == before
    assert cut.batch_decode(after) == tokenizer.batch_decode(before)
    assert len(cut) == len(kept) <= len(tokenizer)
    names = ("pad_token", "eos_token", "bos_token", "unk_token")
    assert all(getattr(cut, name) == getattr(tokenizer, name) for name in names)
    assert kept[cut.pad_token_id] == tokenizer.pad_token_id and kept[cut.eos_token_id] == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_texts_need_is_kept(kind):
    tokenizer = made(kind)
    used = set(tokenizer("good morning").input_ids)
    kept = kept_ids(tokenizer, used)
    tokens = set(tokenizer.convert_ids_to_tokens(kept))
    shown = {token.removeprefix("##").replace("\u2581", " ").replace("\u0120", " ") for token in tokens}
    long = {token for token in shown if len(token) > 1 and not token.startswith("<")}
    odd = {token for token in long if token not in " good morning"}
    assert len(odd) <= (kind == "likeliest path"), "of these the least likely piece"
    assert set(SPECIAL) <= tokens and "\n\n" not in tokens and "<turn>" not in tokens
    assert len(kept) < len(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_without_a_token_keeps_its_place_at_the_end(kind):
    tokenizer = made(kind)
    last = len(tokenizer) + 3
    kept = kept_ids(tokenizer, [tokenizer.eos_token_id, last])
    assert kept[-1] == last and len(smaller(tokenizer, kept)) == len(kept) - 1


def test_other_texts_can_be_read_where_bytes_are_tokens():
    for kind in ("byte-level", "byte fallback"):
        tokenizer = made(kind)
        cut = smaller(tokenizer, kept_ids(tokenizer, []))
        text = f"{in_words('sw', {})}: {WORDS[2]} {WORDS[3]}"
        assert cut.decode(cut(text).input_ids, skip_special_tokens=True) == text


def test_tokenizers_that_cannot_be_cut_are_refused():
    with pytest.raises(
        FlixError, match=r"ByT5Tokenizer\) cannot be made smaller: it is none of the tokenizers library; set"
    ):
        kept_ids(ByT5Tokenizer(), [])
    ends = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(end_of_word_suffix="</w>")))
    with pytest.raises(FlixError, match="its tokens mark where a word begins or ends"):
        kept_ids(ends, [])
    drops = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(dropout=0.1)))
    with pytest.raises(FlixError, match="it splits at random"):
        kept_ids(drops, [])
