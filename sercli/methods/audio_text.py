"""`audio-text`: a student that hears and reads, in one network that does with either.

De Oliveira, Prabhu and Gerkmann 2023, "Leveraging Semantic Information for Efficient Self-Supervised Emotion
Recognition with Audio-Textual Distilled Models" (arXiv 2305.19184), as its abstract describes it: a distilled audio
model lacks the depth that carries valence, so a distilled text model reads beside it. Text encoder, transcripts, fusion
and the hiding of either branch in training are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sercli.methods.ce import CrossEntropy

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MODES = ("audio", "text", "both")
TABLE, BESIDE, ASR = "table", "beside", "asr"


class AudioText(CrossEntropy):
    """Cross-entropy of a student fused with a text encoder; `outputs.dimensions` adds that of ratings (CCC).

    Args:
        encoder: text encoder: local folder, or Hub id
        revision: of a Hub id
        trained_text: train the text encoder too
        fusion: concat, gated or cross-attention
        pooling: over tokens: mean or attentive
        embedding: width of the fused embedding
        mode: both; or audio or text, which never hears the other
        transcripts: table (its column `text`), beside (NAME.txt, .srt or .json by the audio), asr, or a folder of such
            files
        asr: model that transcribes: local folder, or Hub id
        asr_revision: of a Hub id
        language: that it transcribes, such as `polish`; empty = it finds out itself
        text_dropout: share of clips whose transcript is hidden in training, so that sound alone works
        audio_dropout: share of clips whose sound is hidden, so that text alone works; never both
        label_smoothing: see CrossEntropy
        within_corpus: see CrossEntropy
        weight: see Method
        warmup: see Method
    """

    name = "audio-text"

    def __init__(
        self,
        encoder: str = MINILM,
        revision: str = "",
        trained_text: bool = False,
        fusion: str = "concat",
        pooling: str = "mean",
        embedding: int = 128,
        mode: str = "both",
        transcripts: str = TABLE,
        asr: str = "",
        asr_revision: str = "",
        language: str = "",
        text_dropout: float = 0.3,
        audio_dropout: float = 0.1,
        label_smoothing: float = 0.1,
        within_corpus: bool = True,
        weight: float = 1.0,
        warmup: float = 0.0,
    ) -> None:
        super().__init__(weight, label_smoothing, within_corpus, warmup=warmup)
        self.demand(mode in MODES, "mode", f"one of {', '.join(MODES)}", mode)
        for key, share in (("text_dropout", text_dropout), ("audio_dropout", audio_dropout)):
            self.demand(0 <= share < 1, key, "from 0 to below 1", share)
        self.demand(text_dropout + audio_dropout <= 1, "audio_dropout", "at most 1 - text_dropout", audio_dropout)
        self.demand(embedding >= 1, "embedding", "at least 1", embedding)
        self.demand((transcripts == ASR) == bool(asr), "asr", "a model where transcripts is asr, else empty", asr)
        self.encoder, self.revision, self.trained_text = encoder, revision, trained_text
        self.fusion, self.pooling, self.embedding = fusion, pooling, embedding
        self.mode = mode
        self.transcripts, self.asr, self.asr_revision, self.language = transcripts, asr, asr_revision, language
        self.text_dropout, self.audio_dropout = text_dropout, audio_dropout

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Term `audio-text`; see Method.losses."""
        return {self.name: super().terms(outputs, batch)["ce"]}
