"""A key-value cache that grows in place: a new token is appended without copying the ones before it.

transformers' own cache is concatenated at every token, which costs as much as reading it.
"""

from inspect import signature

from torch import Tensor
from transformers import Cache, DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

ROOM = 16  # tokens that a new buffer has room for beyond its content


class LayerInPlace(DynamicLayer):
    """Keys and values of one layer, (rows, heads, tokens, width) each, as views of larger buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        start = self.keys.shape[2]
        end = start + key_states.shape[2]
        if self.buffers is None or end > self.buffers[0].shape[2]:
            self.buffers = with_room(self.keys, end), with_room(self.values, end)
        for buffer, new in zip(self.buffers, (key_states, value_states)):
            buffer[:, :, start:end] = new
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the rows `beam_idx` only."""
        if self.buffers is not None:
            self.buffers = tuple(buffer.index_select(0, beam_idx) for buffer in self.buffers)
            self.keys, self.values = (buffer[:, :, : self.keys.shape[2]] for buffer in self.buffers)


def with_room(tensor: Tensor, tokens: int) -> Tensor:
    """A larger buffer that begins with `tensor`, with room for `tokens` tokens and `ROOM` more."""
    rows, heads, held, width = tensor.shape
    buffer = tensor.new_empty(rows, heads, tokens + ROOM, width)
    buffer[:, :, :held] = tensor
    return buffer


def key_values(backbone: PreTrainedModel) -> Cache | None:
    """An empty cache for `backbone`; None for a model with its own kind of cache."""
    if (
        "past_key_values" not in signature(backbone.forward).parameters
        or not type(backbone)._supports_default_dynamic_cache()
    ):
        return None
    config = backbone.config.get_text_config(decoder=True)
    cache = DynamicCache(config=config)
    cache.layers = [LayerInPlace() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return EncoderDecoderCache(cache, DynamicCache()) if backbone.config.is_encoder_decoder else cache
