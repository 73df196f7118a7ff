"""From a transformers model to the tables of one architecture description, and back.

For every family `views` says once where each entry of the tables lives in the model: as a view into its parameters
(a slice, a transpose), or as one of the small classes below. Reading the views loads, writing them stores.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from growproof.numeric.architecture import frequencies
from growproof.numeric.options import Architecture

Tables = dict[str, Any]


# ---------------------------------------------------------------- places in a model


@dataclass
class Rows:
    """Rows of an embedding, one for each index."""

    weight: Tensor
    index: Tensor

    def read(self) -> Tensor:
        return self.weight[self.index]

    def write(self, value: Tensor) -> None:
        self.weight[self.index] = value.to(self.weight.dtype)


@dataclass
class Plus:
    """A sum of two places, as where a token type is added to a token; written, the second becomes zero."""

    first: Any
    second: Tensor

    def read(self) -> Tensor:
        return self.first.read() + self.second

    def write(self, value: Tensor) -> None:
        self.second.zero_()
        self.first.write(value)


@dataclass
class Patches:
    """The class token and the patches of fixed pixels; written, the projection is one that maps these pixels so."""

    embeddings: nn.Module
    pixels: Tensor

    def read(self) -> Tensor:
        patches = self.embeddings.patch_embeddings(self.pixels.to(self.embeddings.cls_token.dtype))
        return torch.cat([self.embeddings.cls_token, patches], dim=1)[0]

    def write(self, value: Tensor) -> None:
        convolution = self.embeddings.patch_embeddings.projection
        size = convolution.kernel_size
        columns = nn.functional.unfold(self.pixels, size, stride=size)[0].T
        weight = torch.linalg.pinv(columns) @ value[1:].double()
        convolution.weight.copy_(weight.T.reshape(convolution.weight.shape))
        convolution.bias.zero_()
        self.embeddings.cls_token.copy_(value[None, :1])


@dataclass
class Attribute:
    """One number that many modules have."""

    modules: Sequence[nn.Module]
    name: str

    def read(self) -> float:
        (value,) = {getattr(module, self.name) for module in self.modules}
        return value

    def write(self, value: float) -> None:
        for module in self.modules:
            setattr(module, self.name, value)


@dataclass
class Buffer:
    """A number that a module keeps as a tensor without axes."""

    module: nn.Module
    name: str

    def read(self) -> float:
        return float(getattr(self.module, self.name))

    def write(self, value: float) -> None:
        getattr(self.module, self.name).fill_(value)


@dataclass
class InverseFrequencies:
    """The table of rotary frequencies, 1 x k/2; the one that a model holds was computed in float32."""

    rotary: nn.Module

    def read(self) -> Tensor:
        return self.rotary.inv_freq[None]

    def write(self, value: Tensor) -> None:
        self.rotary.inv_freq = value[0]


@dataclass
class Base:
    """The base of rotary frequencies; written, all of them are computed again, in float64."""

    rotary: nn.Module

    def read(self) -> float:
        return float(self.rotary.config.rope_parameters["rope_theta"])

    def write(self, value: float) -> None:
        self.rotary.config.rope_parameters["rope_theta"] = value
        half = len(self.rotary.inv_freq)
        self.rotary.inv_freq = value ** -(torch.arange(half, dtype=torch.double) / half)


@dataclass
class Sinusoids:
    """GPT-J's table of sines and cosines, for its fixed base; written, it is computed again, in float64."""

    model: nn.Module

    def read(self) -> int:
        return int(self.model.h[0].attn.rotary_dim)

    def write(self, value: int) -> None:
        rotary = self.model.rotary_emb
        angles = torch.arange(rotary.max_positions)[:, None] * 10000.0 ** -(
            torch.arange(0, value, 2, dtype=torch.double) / value
        )
        rotary.embed_positions = torch.cat([angles.sin(), angles.cos()], dim=1)
        Attribute([block.attn for block in self.model.h], "rotary_dim").write(value)


def read(view: Any) -> Any:
    """What stands there, as an array or a number."""
    value = view if isinstance(view, Tensor) else view.read()
    return value.detach().clone().numpy() if isinstance(value, Tensor) else value


def write(view: Any, value: Any) -> None:
    if np.shape(read(view)) != np.shape(value):
        found, expected = np.shape(value), np.shape(read(view))
        raise ValueError(f"found shape {found} in the tables, expected {expected} as in the model")
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(view, Tensor):
        view.copy_(value)
    else:
        view.write(value)


def check_written(view: Any, value: Any) -> None:
    """Raise ValueError unless the value stands there: two entries may have one place, or there is no such value."""
    found = np.asarray(read(view))
    close = 1e3 * np.finfo(found.dtype).eps if found.dtype.kind == "f" else 0
    if not np.allclose(found, value, rtol=close, atol=close):
        raise ValueError("found different values for one place in the model, expected equal ones")


# ---------------------------------------------------------------- what families share


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model in which every layer and every head is alike, and k = v = d."""

    h: int = 24
    o: int = 11
    p: int = 20
    d: int = 6
    heads: int = 4
    groups: int = 2  # of heads that share keys and values, in the families that have them
    layers: int = 2
    experts: int = 3


def linear(module: nn.Module, name: str, bias: str | None = None) -> Tables:
    """W and b of a module that computes X W + b, its weight being W' in a Linear, W in a Conv1D."""
    weight = module.weight if isinstance(module, Conv1D) else module.weight.T
    return {f"W_{name}": weight} | ({f"b_{bias or name}": module.bias[None]} if module.bias is not None else {})


def normed(module: nn.Module, name: str) -> Tables:
    bias = getattr(module, "bias", None)
    return {f"g_{name}": module.weight[None]} | ({f"c_{name}": bias[None]} if bias is not None else {})


def parts(table: Tables, count: int, names: str = "QKV") -> list[Tables]:
    """The columns of W and b in `count` equal parts, one per head."""
    split = {
        name: view.chunk(count, dim=0 if name == "W_O" else 1) for name, view in table.items() if name[-1] in names
    }
    return [{name: views[e] for name, views in split.items()} for e in range(count)]


def attention(Q: Tables, K: Tables, V: Tables, O: Tables, heads: int, groups: int | None = None) -> Tables:
    """heads, or groups of heads, and b_O; head e takes part e of the columns of W_Q and of the rows of W_O."""
    own = parts(Q | {"W_O": O["W_O"]}, heads, "QO")
    rest = {"b_O": O["b_O"]} if "b_O" in O else {}
    if groups is None:
        shared = parts(K | V, heads, "KV")
        return rest | {"heads": [one | other for one, other in zip(own, shared, strict=True)]}
    shared, size = parts(K | V, groups, "KV"), heads // groups
    return rest | {"groups": [one | {"heads": own[g * size : (g + 1) * size]} for g, one in enumerate(shared)]}


def projections(module: nn.Module, names: str, heads: int, groups: int | None = None) -> Tables:
    """The attention of a module with separate projections for queries, keys, values and the output."""
    Q, K, V, O = (linear(getattr(module, name), one) for name, one in zip(names.split(), "QKVO", strict=True))
    return attention(Q, K, V, O, heads, groups)


@dataclass
class Tokens:
    """The tokens as one-hot rows (s x o). They are an input: nothing is written."""

    tokens: Tensor
    weight: Tensor

    def read(self) -> Tensor:
        return nn.functional.one_hot(self.tokens, len(self.weight)).to(self.weight.dtype)

    def write(self, value: Tensor) -> None:
        pass


# ---------------------------------------------------------------- the families


@dataclass(frozen=True)
class Family:
    """A family of models: its description, and how one is made, read and run."""

    options: Mapping[str, Any]
    model_class: type[Any]
    config: Callable[[Sizes], Any]
    views: Callable[[Any, Tensor], Tables]
    attentions: Callable[[Any], list[Any]]
    projections: str = ""  # of an attention, that to the output last, where the class wants some relation to h
    fixed_d: bool = True  # whether that is d = h / heads, or only that heads divides h
    tokens: tuple[int, ...] = (3, 1, 4, 9, 5)
    readout: bool = True  # whether the model itself has W_out; else one reads the last hidden state

    @property
    def architecture(self) -> Architecture:
        return Architecture.from_options(self.options)


def common(sizes: Sizes, **names: str) -> dict[str, Any]:
    """The entries of a configuration; names: what this class calls h, p, layers and heads."""
    return {name: getattr(sizes, ours) for ours, name in names.items()} | {
        "vocab_size": sizes.o,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }


HUGGING = {"h": "hidden_size", "p": "intermediate_size", "layers": "num_hidden_layers", "heads": "num_attention_heads"}


# Llama and those like it


def llama_config(config: type[Any], grouped: bool = True, **more: Any) -> Callable[[Sizes], Any]:
    def made(sizes: Sizes) -> Any:
        groups = sizes.groups if grouped else sizes.heads
        experts = {"num_local_experts": sizes.experts} if config is transformers.MixtralConfig else {}
        rope = {"rope_type": "default", "rope_theta": 500.0}
        entries = common(sizes, **HUGGING) | {"head_dim": sizes.d, "num_key_value_heads": groups} | experts | more
        return config(**entries, rms_norm_eps=1e-3, rope_parameters=rope)

    return made


def llama_views(model: Any, tokens: Tensor) -> Tables:
    stack = model.model
    embedding = stack.embed_tokens.weight
    tied = model.config.tie_word_embeddings
    table = {"tokens": Tokens(tokens, embedding)} if tied else {"I": Rows(embedding, tokens)}
    table |= {"W_out": model.lm_head.weight.T, **normed(stack.norm, "out")}
    table |= {"eps": Attribute(llama_norms(model), norm_attribute(stack.norm)), "rope_base": Base(stack.rotary_emb)}
    if hasattr(stack.layers[0].self_attn, "q_norm"):
        norms = [norm for layer in stack.layers for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm)]
        table["eps_qk"] = Attribute(norms, norm_attribute(stack.norm))
    if hasattr(stack.layers[0].mlp, "experts"):
        table["top_k"] = Attribute([layer.mlp.gate for layer in stack.layers], "top_k")
    return table | {"layers": [llama_layer(layer, model.config) for layer in stack.layers]}


def llama_layer(layer: Any, config: Any) -> Tables:
    own, heads, groups = layer.self_attn, config.num_attention_heads, config.num_key_value_heads
    table = projections(own, "q_proj k_proj v_proj o_proj", heads, None if groups == heads else groups)
    if hasattr(own, "q_norm"):
        for group in table["groups"]:
            group["g_K"] = own.k_norm.weight[None]
            for head in group["heads"]:
                head["g_Q"] = own.q_norm.weight[None]
    table |= normed(layer.input_layernorm, "MHA") | normed(layer.post_attention_layernorm, "MLP")
    if not hasattr(layer.mlp, "experts"):
        return table | gated(layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj)
    return table | {"W_R": layer.mlp.gate.weight.T, "experts": mixtral_experts(layer.mlp.experts)}


def mixtral_experts(experts: Any) -> list[Tables]:
    """Stored as one array each: rows of gate_up_proj are the gate's, then the other matrix's."""
    both = zip(experts.gate_up_proj, experts.down_proj, strict=True)
    halves = [(*pair.chunk(2), down) for pair, down in both]
    return [{"W_gate": gate.T, "W_l1": up.T, "W_l2": down.T} for gate, up, down in halves]


def gated(gate: Any, up: Any, down: Any) -> Tables:
    return linear(gate, "gate") | linear(up, "l1") | linear(down, "l2")


def llama_norms(model: Any) -> list[Any]:
    layers = model.model.layers
    return [model.model.norm, *(n for layer in layers for n in (layer.input_layernorm, layer.post_attention_layernorm))]


def norm_attribute(norm: Any) -> str:
    return "variance_epsilon" if hasattr(norm, "variance_epsilon") else "eps"


def llama_attentions(model: Any) -> list[Any]:
    return [layer.self_attn for layer in model.model.layers]


LLAMA = {
    "eps": True,
    "final_norm": True,
    "mlp": "gated",
    "act": "silu",
    "mlp_bias": False,
    "positions": "rotary",
    "rope_layout": "half",
    "mask": "causal",
}


def llama_family(options: Mapping[str, Any], model: type[Any], config: type[Any], **more: Any) -> Family:
    made = llama_config(config, bool(options.get("groups")), **more)
    return Family(options, model, made, llama_views, llama_attentions, "q_proj k_proj v_proj o_proj", fixed_d=False)


# GPT-2, OPT, GPT-J


def gpt2_views(model: Any, tokens: Tensor) -> Tables:
    stack, norms = model.transformer, [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {
        "tokens": Tokens(tokens, stack.wte.weight),
        "P": stack.wpe.weight[: len(tokens)],
        "W_out": model.lm_head.weight.T,
        **normed(stack.ln_f, "out"),
        "eps": Attribute(norms, "eps"),
        "layers": [gpt2_layer(block) for block in stack.h],
    }


def gpt2_layer(block: Any) -> Tables:
    """One matrix holds all queries, then all keys, then all values."""
    weights, biases = block.attn.c_attn.weight.chunk(3, dim=1), block.attn.c_attn.bias.chunk(3)
    Q, K, V = ({f"W_{name}": W, f"b_{name}": b[None]} for name, W, b in zip("QKV", weights, biases, strict=True))
    table = attention(Q, K, V, linear(block.attn.c_proj, "O"), block.attn.num_heads)
    table |= normed(block.ln_1, "MHA") | normed(block.ln_2, "MLP")
    return table | linear(block.mlp.c_fc, "l1") | linear(block.mlp.c_proj, "l2")


def opt_views(model: Any, tokens: Tensor) -> Tables:
    stack, norms = model.model.decoder, [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    offset = stack.embed_positions.offset
    return {
        "tokens": Tokens(tokens, stack.embed_tokens.weight),
        "P": stack.embed_positions.weight[offset : offset + len(tokens)],
        "W_out": model.lm_head.weight.T,
        **normed(stack.final_layer_norm, "out"),
        "eps": Attribute(norms, "eps"),
        "layers": [opt_layer(layer) for layer in stack.layers],
    }


def opt_layer(layer: Any) -> Tables:
    table = projections(layer.self_attn, "q_proj k_proj v_proj out_proj", layer.self_attn.num_heads)
    table |= normed(layer.self_attn_layer_norm, "MHA") | normed(layer.final_layer_norm, "MLP")
    return table | linear(layer.fc1, "l1") | linear(layer.fc2, "l2")


def gptj_views(model: Any, tokens: Tensor) -> Tables:
    stack, norms = model.transformer, [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {
        "I": Rows(stack.wte.weight, tokens),
        "W_out": model.lm_head.weight.T,
        **normed(stack.ln_f, "out"),
        "eps": Attribute(norms, "eps"),
        "rope_dim": Sinusoids(stack),
        "layers": [gptj_layer(block) for block in stack.h],
    }


def gptj_layer(block: Any) -> Tables:
    table = projections(block.attn, "q_proj k_proj v_proj out_proj", block.attn.num_attention_heads)
    return table | normed(block.ln_1, "MHA") | linear(block.mlp.fc_in, "l1") | linear(block.mlp.fc_out, "l2")


# T5's encoder, BERT, ViT: read out by any matrix


def t5_views(model: Any, tokens: Tensor) -> Tables:
    stack = model.encoder
    first = stack.block[0].layer[0].SelfAttention
    places = torch.arange(len(tokens))
    buckets = first._relative_position_bucket(
        places[None] - places[:, None],
        num_buckets=first.relative_attention_num_buckets,
        max_distance=first.relative_attention_max_distance,
    )
    biases = first.relative_attention_bias.weight.T  # heads x buckets, the same in every layer
    norms = [module for module in model.modules() if type(module).__name__ == "T5LayerNorm"]
    return {
        "I": Rows(model.shared.weight, tokens),
        **normed(stack.final_layer_norm, "out"),
        "eps": Attribute(norms, "variance_epsilon"),
        "layers": [t5_layer(block.layer, biases, buckets) for block in stack.block],
    }


def t5_layer(layer: Any, biases: Tensor, buckets: Tensor) -> Tables:
    own, feed = layer[0].SelfAttention, layer[1].DenseReluDense
    table = projections(own, "q k v o", own.n_heads)
    for head, row in zip(table["heads"], biases, strict=True):
        head["B_pos"] = Rows(row, buckets)
    table |= normed(layer[0].layer_norm, "MHA") | normed(layer[1].layer_norm, "MLP")
    return table | linear(feed.wi, "l1") | linear(feed.wo, "l2")


def bert_views(model: Any, tokens: Tensor) -> Tables:
    table, norms = model.embeddings, [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {
        "I": Plus(Rows(table.word_embeddings.weight, tokens), table.token_type_embeddings.weight[0]),
        "P": table.position_embeddings.weight[: len(tokens)],
        **normed(table.LayerNorm, "in"),
        "eps": Attribute(norms, "eps"),
        "layers": [bert_layer(layer) for layer in model.encoder.layer],
    }


def bert_layer(layer: Any) -> Tables:
    own = layer.attention.self
    Q, K, V = (linear(module, one) for module, one in zip((own.query, own.key, own.value), "QKV", strict=True))
    table = attention(Q, K, V, linear(layer.attention.output.dense, "O"), own.num_attention_heads)
    table |= normed(layer.attention.output.LayerNorm, "MHA") | normed(layer.output.LayerNorm, "MLP")
    return table | linear(layer.intermediate.dense, "l1") | linear(layer.output.dense, "l2")


def vit_views(model: Any, tokens: Tensor) -> Tables:
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    return {
        "I": Patches(model.embeddings, pixels(tokens)),
        "P": model.embeddings.position_embeddings[0],
        **normed(model.layernorm, "out"),
        "eps": Attribute(norms, "eps"),
        "layers": [vit_layer(layer) for layer in model.layers],
    }


def vit_layer(layer: Any) -> Tables:
    table = projections(layer.attention, "q_proj k_proj v_proj o_proj", layer.attention.num_attention_heads)
    table |= normed(layer.layernorm_before, "MHA") | normed(layer.layernorm_after, "MLP")
    return table | linear(layer.mlp.fc1, "l1") | linear(layer.mlp.fc2, "l2")


def vit_config(sizes: Sizes) -> Any:
    entries = {name: getattr(sizes, ours) for ours, name in HUGGING.items()}
    return transformers.ViTConfig(**entries, head_dim=sizes.d, image_size=8, patch_size=4, layer_norm_eps=1e-3)


def pixels(tokens: Tensor) -> Tensor:
    """An image of 2 x 2 patches, drawn from the numbers of the tokens."""
    return torch.randn(1, 3, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(int(tokens.sum())))


BIASED = {"norm": "layer", "norm_bias": True, "eps": True, "attention_bias": "qkvo"}

FAMILIES: Mapping[str, Family] = {
    "gpt2": Family(
        BIASED | {"final_norm": True, "act": "gelu_tanh", "mask": "causal", "tied": True},
        transformers.GPT2LMHeadModel,
        lambda n: transformers.GPT2Config(
            **common(n, h="n_embd", p="n_inner", layers="n_layer", heads="n_head"), layer_norm_epsilon=1e-3
        ),
        gpt2_views,
        lambda model: [block.attn for block in model.transformer.h],
        "c_attn c_proj",
    ),
    "opt": Family(
        BIASED | {"final_norm": True, "mask": "causal", "tied": True},
        transformers.OPTForCausalLM,
        lambda n: transformers.OPTConfig(
            **common(n, h="hidden_size", p="ffn_dim", layers="num_hidden_layers", heads="num_attention_heads")
        ),
        opt_views,
        lambda model: [layer.self_attn for layer in model.model.decoder.layers],
        "q_proj k_proj v_proj out_proj",
    ),
    "llama": llama_family(LLAMA, transformers.LlamaForCausalLM, transformers.LlamaConfig),
    "mistral": llama_family(LLAMA | {"groups": True}, transformers.MistralForCausalLM, transformers.MistralConfig),
    "qwen3": llama_family(
        LLAMA | {"groups": True, "qk_norm": True}, transformers.Qwen3ForCausalLM, transformers.Qwen3Config
    ),
    "gemma": llama_family(
        LLAMA | {"act": "gelu_tanh", "norm_gain": "1 + g", "tied": True, "embed_scale": True},
        transformers.GemmaForCausalLM,
        transformers.GemmaConfig,
    ),
    "t5": Family(
        {"eps": True, "final_norm": True, "mlp_bias": False, "scale": "none", "positions": "bias"},
        transformers.T5EncoderModel,
        lambda n: transformers.T5Config(
            **common(n, h="d_model", p="d_ff", d="d_kv", layers="num_layers", heads="num_heads"),
            layer_norm_epsilon=1e-3,
            relative_attention_num_buckets=6,
            relative_attention_max_distance=4,
        ),
        t5_views,
        lambda model: [block.layer[0].SelfAttention for block in model.encoder.block],
        readout=False,
    ),
    "bert": Family(
        BIASED | {"placement": "post", "embedding_norm": True, "act": "gelu"},
        transformers.BertModel,
        lambda n: transformers.BertConfig(**common(n, **HUGGING), layer_norm_eps=1e-3),
        bert_views,
        lambda model: [layer.attention for layer in model.encoder.layer],
        "self.query self.key self.value output.dense",
        readout=False,
    ),
    "vit": Family(
        BIASED | {"final_norm": True, "act": "gelu"},
        transformers.ViTModel,
        vit_config,
        vit_views,
        lambda model: [layer.attention for layer in model.layers],
        readout=False,
    ),
    "gptj": Family(
        {
            "norm": "layer",
            "norm_bias": True,
            "eps": True,
            "final_norm": True,
            "act": "gelu_tanh",
            "positions": "rotary",
            "rope_part": "part",
            "mask": "causal",
            "parallel": True,
        },
        transformers.GPTJForCausalLM,
        lambda n: transformers.GPTJConfig(
            **common(n, h="n_embd", p="n_inner", layers="n_layer", heads="n_head"),
            rotary_dim=4,
            n_positions=16,
            layer_norm_epsilon=1e-3,
        ),
        gptj_views,
        lambda model: [block.attn for block in model.transformer.h],
        "q_proj k_proj v_proj out_proj",
    ),
    "mixtral": llama_family(
        LLAMA | {"groups": True, "experts": True}, transformers.MixtralForCausalLM, transformers.MixtralConfig
    ),
}


# ---------------------------------------------------------------- made, read, written, run


def build(family: Family, sizes: Sizes, dtype: torch.dtype = torch.float64, attention: str = "eager") -> Any:
    """A model of the family with these sizes, random as the class draws it.

    Where the class insists on d = h / heads, or on a whole number of heads in h, its own forward pass runs on
    projections of another size all the same: they are put in afterwards.
    """
    natural = sizes.h == sizes.d * sizes.heads if family.fixed_d else sizes.h % sizes.heads == 0
    natural = natural or not family.projections
    config = family.config(sizes if natural else replace(sizes, heads=1, groups=1))
    config._attn_implementation = attention
    config._experts_implementation = "eager"  # the other ways to run experts know no float64
    with default_dtype(dtype):
        model = family.model_class(config).eval()
        if not natural:
            for module in family.attentions(model):
                resize(module, sizes, family)
            config.num_attention_heads = sizes.heads
            config.num_key_value_heads = sizes.groups if family.options.get("groups") else sizes.heads
    return model.to(dtype)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Gemma keeps its factor sqrt(h) in torch's default dtype, whatever the model is cast to later."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def resize(attention: Any, sizes: Sizes, family: Family) -> None:
    """Give an attention module heads of size d, whatever h is."""
    width, groups = sizes.heads * sizes.d, sizes.groups if family.options.get("groups") else sizes.heads
    *reading, writing = family.projections.split()
    for path in reading:
        count = {"c_attn": 3 * sizes.heads, "k_proj": groups, "v_proj": groups}.get(path, sizes.heads)
        replace_module(attention, path, sizes.h, count * sizes.d)
    replace_module(attention, writing, width, sizes.h)
    values = {"num_heads": sizes.heads, "num_attention_heads": sizes.heads, "split_size": width}
    values |= {"head_dim": sizes.d, "attention_head_size": sizes.d, "scaling": sizes.d**-0.5}
    values |= {"num_key_value_groups": sizes.heads // groups}
    for name, value in values.items():
        if hasattr(core(attention), name):
            setattr(core(attention), name, value)


def replace_module(attention: Any, path: str, rows: int, columns: int) -> None:
    """Another Linear or Conv1D in the place of the one at a dotted path."""
    holder, _, name = path.rpartition(".")
    module = getattr(attention, holder) if holder else attention
    old = getattr(module, name)
    linear = Conv1D(columns, rows) if isinstance(old, Conv1D) else nn.Linear(rows, columns, old.bias is not None)
    setattr(module, name, linear)


def core(attention: Any) -> Any:
    """The module with the scores; BERT has it one level further in."""
    return getattr(attention, "self", attention)


def randomise(model: Any, seed: int = 0) -> None:
    """Every parameter random: matrices with variance 1/columns, gains and biases between 1/2 and 3/2."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
            else:
                parameter.uniform_(0.5, 1.5, generator=generator)


def load(family: Family, model: Any) -> tuple[dict[str, Any], Tables]:
    """The description of a model and its tables, for the family's tokens; without W_out in the model, the identity."""
    tables = mapped(read, family.views(model, torch.tensor(family.tokens)))
    if not family.readout:
        tables["W_out"] = np.eye(model.config.hidden_size, dtype=tables["I"].dtype)
    return dict(family.options), tables


def mapped(f: Callable[..., Any], view: Any, *others: Any) -> Any:
    """f of every place, or of every place and what others have in the same one."""
    if isinstance(view, dict):
        return {name: mapped(f, one, *(other[name] for other in others)) for name, one in view.items()}
    if isinstance(view, list):
        return [mapped(f, *them) for them in zip(view, *others, strict=True)]
    return f(view, *others)


def store(family: Family, model: Any, tables: Tables) -> None:
    """Write the tables into a model. Raises ValueError when either has something that the other has no place for."""
    views = family.views(model, torch.tensor(family.tokens))
    if "scale" in tables:
        views["scale"] = Attribute([core(attention) for attention in family.attentions(model)], "scaling")
    if "embed_scale" in tables:
        views["embed_scale"] = Buffer(model.get_input_embeddings(), "embed_scale")
    if "rope_freqs" in tables:
        views["rope_freqs"] = InverseFrequencies(views.pop("rope_base").rotary)
    if not family.readout:
        tables = {name: entry for name, entry in tables.items() if name != "W_out"}
    same_names(views, tables, "")
    with torch.no_grad():
        mapped(write, views, tables)
        mapped(check_written, views, tables)


def same_names(views: Any, tables: Any, where: str) -> None:
    if isinstance(views, dict):
        if different := sorted(views.keys() ^ tables.keys()):
            raise ValueError(f"{where}: found entries that are not in both model and tables: {', '.join(different)}")
        for name in views:
            same_names(views[name], tables[name], f"{where}.{name}")
    if isinstance(views, list):
        if len(views) != len(tables):
            raise ValueError(f"{where}: found {len(tables)} in the tables, expected {len(views)} as in the model")
        for n, pair in enumerate(zip(views, tables, strict=True)):
            same_names(*pair, f"{where}[{n}]")


def run(family: Family, model: Any, tables: Tables) -> np.ndarray:
    """The model's own output (s x o) for the family's tokens.

    GPT-J adds a bias to its logits, which no description has: it is taken off.
    """
    tokens = torch.tensor(family.tokens)
    with torch.no_grad():
        if model.main_input_name == "pixel_values":
            found = model(pixel_values=pixels(tokens).to(model.dtype))
        else:
            found = model(input_ids=tokens[None])
        if not family.readout:
            return found.last_hidden_state[0].numpy() @ tables["W_out"]
        bias = model.lm_head.bias
        return (found.logits[0] - (0 if bias is None else bias)).numpy()


def sizes_of(tables: Tables) -> Sizes:
    """The sizes of a model that can hold the tables, in which all layers and heads are alike."""
    (h, o), layers = tables["W_out"].shape, tables["layers"]
    groups = layers[0].get("groups", layers[0].get("heads"))
    own = groups[0].get("heads", groups[:1])
    feed = layers[0].get("experts", layers[:1])
    d, p = own[0]["W_Q"].shape[1], feed[0]["W_l1"].shape[1]
    return Sizes(h, o, p, d, len(groups) * len(own), len(groups), len(layers), len(feed))


def grown(family: Family, tables: Tables, dtype: torch.dtype = torch.float64) -> Any:
    """A model of the family, as large as the tables and with their parameters."""
    sizes = sizes_of(tables)
    model = build(family, sizes if family.readout else replace(sizes, o=Sizes.o), dtype)
    store(family, model, tables)
    return model


# ---------------------------------------------------------------- what no model of a family can hold


def padded(options: Mapping[str, Any], tables: Tables) -> tuple[dict[str, Any], Tables]:
    """The same function with k = v = d in every head, which is all that the classes can hold.

    Columns of zeros change no product. A larger d would change the factor 1/sqrt(d) of the scores, the mean square of
    normed queries and keys, and recomputed frequencies: so queries (their gains, where normed) take up the factor,
    gains and epsilon the mean square, and the frequencies become a table.
    """
    a = Architecture.from_options(options)
    groups = [group for layer in tables["layers"] for group in layer["groups" if a.groups else "heads"]]
    (k,) = {group["W_K"].shape[1] for group in groups}
    d = max(k, *(group["W_V"].shape[1] for group in groups))
    turns = a.positions == "rotary" and a.rope_part == "all"
    d += d % 2 if turns else 0
    layers = [_padded_layer(layer, k, d, a) for layer in tables["layers"]]
    tables = {**tables, "layers": layers}
    if a.qk_norm:
        tables["eps_qk"] = tables.get("eps_qk", 0.0) * k / d
    if turns and d > k:
        theta = frequencies(k, tables, a)
        tables.pop("rope_base", None)
        tables["rope_freqs"] = np.concatenate([theta, np.zeros((1, (d - k) // 2))], axis=1)
        options = {**options, "rope_frequencies": "table"}
    return dict(options), tables


def _padded_layer(layer: Tables, k: int, d: int, a: Architecture) -> Tables:
    family = "groups" if a.groups else "heads"
    return {**layer, family: [_padded_head(head, k, d, a) for head in layer[family]]}


def _padded_head(head: Tables, k: int, d: int, a: Architecture) -> Tables:
    """A head, or a group with its heads."""
    found = dict(head)
    grows = (d / k) ** 0.5
    for name in found.keys() & {"W_Q", "W_K", "b_Q", "b_K", "g_Q", "g_K"}:
        found[name] = wider(found[name], d, a)
    for name in found.keys() & {"W_V", "b_V"}:
        found[name] = np.pad(found[name], [(0, 0), (0, d - found[name].shape[1])])
    if "W_O" in found:
        found["W_O"] = np.pad(found["W_O"], [(0, d - len(found["W_O"])), (0, 0)])
    factor = grows if a.scale == "sqrt" else 1.0
    for name in found.keys() & ({"g_Q"} if a.qk_norm else {"W_Q", "b_Q"}):
        found[name] = found[name] * factor
    for name in found.keys() & {"g_Q", "g_K"}:
        found[name] = found[name] / grows
    if "heads" in found:
        found["heads"] = [_padded_head(one, k, d, a) for one in found["heads"]]
    return found


def wider(W: np.ndarray, d: int, a: Architecture) -> np.ndarray:
    """Columns of zeros at the end, or, where pairs are made of halves, at the end of each half."""
    more = d - W.shape[1]
    if a.positions != "rotary" or a.rope_part == "part" or a.rope_layout == "interleaved":
        return np.pad(W, [(0, 0), (0, more)])
    return np.concatenate([np.pad(half, [(0, 0), (0, more // 2)]) for half in np.split(W, 2, axis=1)], axis=1)


def evened(tables: Tables) -> Tables:
    """The same function with as many heads in every group, which is all that the classes can hold.

    The heads that a group lacks are copies of its first one that write nothing.
    """

    def filled(group: Tables, count: int) -> Tables:
        first, *_ = heads = group["heads"]
        silent = first | {"W_O": np.zeros_like(first["W_O"])}
        return {**group, "heads": [*heads, *[silent] * (count - len(heads))]}

    layers = [layer for layer in tables["layers"] if "groups" in layer]
    count = max((len(group["heads"]) for layer in layers for group in layer["groups"]), default=0)
    even = [{**layer, "groups": [filled(group, count) for group in layer["groups"]]} for layer in layers]
    return {**tables, "layers": even or tables["layers"]}


def laid_out(options: Mapping[str, Any], tables: Tables, layout: str) -> tuple[dict[str, Any], Tables]:
    """The same function with the columns of queries and keys in the order of another layout of rotary positions."""
    a = Architecture.from_options(options)
    if a.positions != "rotary" or a.rope_layout == layout:
        return dict(options), tables

    def moved(entry: Any, name: str = "") -> Any:
        if isinstance(entry, dict):
            return {name: moved(one, name) for name, one in entry.items()}
        if isinstance(entry, list):
            return [moved(one) for one in entry]
        if name not in {"W_Q", "W_K", "b_Q", "b_K", "g_Q", "g_K"}:
            return entry
        r = tables["rope_dim"] if a.rope_part == "part" else entry.shape[1]
        pairs = np.arange(r).reshape(2, r // 2).T.ravel()  # 0, r/2, 1, r/2 + 1, ...
        order = pairs if layout == "interleaved" else np.argsort(pairs)
        return entry[:, [*order, *range(r, entry.shape[1])]]

    return {**options, "rope_layout": layout}, moved(tables)


@contextmanager
def in_float64() -> Iterator[None]:
    """Run what casts to float32 (RMSNorm, softmax, rotary angles) in float64, so that nothing else can differ."""
    with (
        mock.patch.object(torch, "float32", torch.float64),
        mock.patch.object(torch, "float", torch.float64),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield
