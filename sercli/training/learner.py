"""A student, its methods and its augmentation as one module that transformers' Trainer can train."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sercli.methods.audio_text import AudioText
from sercli.methods.base import Method
from sercli.methods.terms import cross_entropy, weighted_mean
from sercli.models.student import Stage, StudentNetwork
from sercli.models.text_encoder import Reading
from sercli.training.augment import Augmentation
from sercli.training.data import one_hot
from sercli.training.outputs import output_loss
from sercli.training.recipe import AugmentPart
from sercli.training.trainee import Trainee


class Learner(Trainee[StudentNetwork]):
    """Loss of the methods in training, logits in evaluation.

    Args:
        student: the network to train
        methods: (recipe name, method), connected
        augment: the recipe's augment section
        average: decay of the running mean of the weights; 0 keeps none
        bf16: run the student in bfloat16 while training
        teacher: a trained network with the same front end, which hears what the student hears: the same cut, noise,
            masks and mixed clips. A network's answers to the clips it was trained on as they are would be nearly
            one-hot, and would not be true of what the student is given (Beyer et al. 2022, arXiv 2106.05237); the
            price is one more forward pass a step
        frozen: train what answers alone, on features as the network gives them when it is not trained
        rating: weight of the loss of arousal, valence and dominance; 0 for a student that does not rate
        reader: says how much of sound and text is hidden in training, where the student reads; its mode holds in
            evaluation too
    """

    def __init__(
        self,
        student: StudentNetwork,
        methods: list[tuple[str, Method]],
        augment: AugmentPart,
        average: float = 0.0,
        bf16: bool = False,
        teacher: StudentNetwork | None = None,
        frozen: bool = False,
        rating: float = 0.0,
        reader: AudioText | None = None,
    ) -> None:
        # Channels last: the same numbers, and convolutions of these shapes train much faster on a CPU.
        super().__init__(student.to(memory_format=torch.channels_last), average)  # type: ignore[call-overload]
        self.register_state_dict_post_hook(_in_plain_layout)  # type: ignore[no-untyped-call]
        self.bf16 = bf16
        self.methods = nn.ModuleDict(dict(methods))
        self.augmentation = Augmentation(augment)
        self.teacher = teacher
        if teacher is not None:
            teacher.to(memory_format=torch.channels_last).requires_grad_(False).eval()  # type: ignore[call-overload]
        self.rating = rating
        self.reader = (reader,)  # not a module of its own: it stands among the methods
        self.mode = reader.mode if reader else "audio"
        self.outputs = ("logits", "dimensions") if rating > 0 else ("logits",)
        self.frozen = frozen
        if frozen:
            for name, parameter in student.named_parameters():
                parameter.requires_grad_("classifier." in name or name.startswith("rater."))

    def train(self, mode: bool = True) -> Self:
        """Change to training, all but the teacher and what is frozen."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def forward(
        self,
        waveform: Tensor,
        lengths: Tensor,
        labels: Tensor,
        weights: Tensor,
        known: Tensor,
        teacher_logits: Tensor | None = None,
        teacher_pooled: Tensor | None = None,
        teacher_frames: Tensor | None = None,
        teacher_counts: Tensor | None = None,
        neighbour_waveform: Tensor | None = None,
        neighbour_lengths: Tensor | None = None,
        edge_weights: Tensor | None = None,
        dimensions: Tensor | None = None,
        teacher_dimensions: Tensor | None = None,
        text_tokens: Tensor | None = None,
        text_counts: Tensor | None = None,
    ) -> dict[str, Any]:
        """Run one batch.

        Args:
            waveform: shape (batch, samples)
            lengths: in samples, shape (batch,)
            labels: class numbers, UNLABELLED where there is none, shape (batch,)
            weights: loss weights, shape (batch,)
            known: classes that each clip's corpus has, shape (batch, classes)
            teacher_logits: as `Method.losses` wants them, where a method asks for them; so the next three
            teacher_pooled: time-pooled states
            teacher_frames: states of every frame
            teacher_counts: frames per clip
            neighbour_waveform: with a graph, shape (batch, neighbours, samples); so the next two
            neighbour_lengths: in samples, shape (batch, neighbours)
            edge_weights: 0 where a clip has no such neighbour, shape (batch, neighbours)
            dimensions: ratings from 0 to 1, NaN where unknown, of a student that rates, shape (batch, 3)
            teacher_dimensions: as `Method.losses` wants them
            text_tokens: of transcripts, of a student that reads, shape (batch, tokens)
            text_counts: tokens per clip, 0 without a transcript, shape (batch,)

        Returns:
            `loss`, `logits` (batch, classes), and where it rates `dimensions` (batch, 3); in evaluation the loss is
            plain cross-entropy, whatever is trained
        """
        targets = one_hot(labels, known.shape[1])
        text = self._text(text_tokens, text_counts)
        if self.training:
            with torch.no_grad():
                log_mel, counts = self._frames(waveform, lengths)
                log_mel, counts, order, share = self.augmentation.mixup(log_mel, counts)
            targets = share * targets + (1.0 - share) * targets[order]
            teacher = {
                "teacher_logits": teacher_logits,
                "teacher_dimensions": teacher_dimensions,
                "teacher_pooled": teacher_pooled,
            }
            given = {name: share * x + (1.0 - share) * x[order] for name, x in teacher.items() if x is not None}
            if teacher_frames is not None and teacher_counts is not None:  # mixup is refused where frames are needed
                given |= {"teacher_frames": teacher_frames, "teacher_counts": teacher_counts}
            given |= self._taught(log_mel, counts)
            known = known | known[order]
            stages: dict[str, Stage] = {}
            with torch.autocast(waveform.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                outputs = self.network.body(log_mel, counts, stages, **text)
            outputs = {name: value.float() for name, value in outputs.items()}
            heard: dict[str, Any] = {"stages": stages}
            if neighbour_waveform is not None and neighbour_lengths is not None and edge_weights is not None:
                present = edge_weights > 0
                if int(present.sum()) < 2:  # one clip alone has no batch statistics
                    edge_weights = torch.zeros_like(edge_weights)
                    present = edge_weights > 0
                near = self._neighbours(neighbour_waveform, neighbour_lengths, present, outputs)
                heard["neighbours"], given["edge_weights"] = near, edge_weights
        else:
            found = self.best(waveform, lengths, **text)
            loss = weighted_mean(cross_entropy(found["logits"], targets, known), weights)
            return {"loss": loss, **{name: found[name] for name in self.outputs}}
        batch = {"targets": targets, "known": known, "weights": weights, **given}
        batch["epoch"] = torch.tensor(self.epoch, device=waveform.device)
        terms: dict[str, Tensor] = {}
        for method in self.methods.values():
            terms.update(cast(Method, method).losses({**outputs, **heard}, batch))
        if dimensions is not None:
            blended = share * dimensions + (1.0 - share) * dimensions[order]
            terms["dimensions"] = self.rating * output_loss("dimensions", outputs["dimensions"], blended)
        return {"loss": self.total(terms), "logits": outputs["logits"]}

    def _text(self, tokens: Tensor | None, counts: Tensor | None) -> dict[str, Reading]:
        """What of sound and transcripts may be heard and read, as a student that reads takes it; nothing of others."""
        (reader,) = self.reader
        if reader is None or tokens is None or counts is None:
            return {}
        shown = counts if self.mode != "audio" else torch.zeros_like(counts)
        audible = torch.full_like(counts, self.mode != "text", dtype=torch.bool)
        if self.training and self.mode == "both":
            chance = torch.rand(len(counts), device=counts.device)
            shown = torch.where(chance < reader.text_dropout, 0, counts)
            audible = chance <= 1.0 - reader.audio_dropout
        return {"text": Reading(tokens, shown, audible)}

    def _frames(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented frames of clips, and how many each has."""
        log_mel, counts = self.network.frontend(self.augmentation.waveform(waveform), lengths)
        return self.augmentation.features(log_mel, counts), counts

    def _neighbours(
        self, waveform: Tensor, lengths: Tensor, present: Tensor, own: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the network says of neighbours, with gradients, and with zeros for those that are not there.

        They are augmented and batch-normalised as the clips are, in a pass of their own that leaves no trace: neither
        in the random numbers that follow nor in the running figures of batch norms. So they act through their term in
        the loss and through nothing else.
        """
        found = {name: own[name].new_zeros(*present.shape, own[name].shape[1]) for name in ("logits", "embedding")}
        if not present.any():
            return found
        norms = [module for module in self.network.modules() if isinstance(module, _BatchNorm)]
        devices = [waveform.device] if waveform.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(torch.randint(2**62, ())))  # not the numbers of the next batch
            with torch.no_grad():
                log_mel, counts = self._frames(waveform[present], lengths[present])
            for norm in norms:
                norm.track_running_stats = False
            with torch.autocast(waveform.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                said = self.network.body(log_mel, counts)
            for norm in norms:
                norm.track_running_stats = True
        for name, values in found.items():
            values[present] = said[name].float()
        return found

    @torch.no_grad()
    def _taught(self, log_mel: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """What the teacher says of the frames that the student is given, under the names that methods expect."""
        if self.teacher is None:
            return {}
        with torch.autocast(log_mel.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            said = self.teacher.body(log_mel, counts)
        return {f"teacher_{name}": said[name].float() for name in ("logits", "exits") if name in said}


def _in_plain_layout(learner: nn.Module, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any]) -> None:
    """Undo channels last in what a checkpoint gets: safetensors refuses it."""
    state.update({name: value.contiguous() for name, value in state.items()})
