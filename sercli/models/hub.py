"""A published student in torch, by the ways of huggingface_hub: `PretrainedStudent.from_pretrained("owner/repo")`."""

# Annotations are not postponed here: huggingface_hub looks at that of `config`, and makes the dataclass of config.json.

from pathlib import Path
from typing import Any, cast

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from sercli.errors import BundleError
from sercli.models import students
from sercli.runtime.bundle import CONFIG_FILE, BundleConfig

WEIGHTS = "model.safetensors"


class PretrainedStudent(nn.Module, PyTorchModelHubMixin):
    """A student rebuilt from config.json and model.safetensors of a bundle, on the Hub or in a folder.

        model = PretrainedStudent.from_pretrained("owner/repo", revision="40 digits of a commit")
        logits = model(waveform, lengths)["logits"]

    Weights that are missing, too many or of another shape are refused; nothing but safetensors is read.

    Args:
        config: what a bundle's config.json says
    """

    def __init__(self, config: BundleConfig) -> None:
        super().__init__()
        self.config = BundleConfig.from_values({**vars(config), "labels": list(config.labels)}, CONFIG_FILE)
        architecture = self.config.architecture
        if architecture not in students.ARCHITECTURES:
            raise BundleError(f"{CONFIG_FILE}: unknown architecture {architecture!r}; update sercli")
        arguments = students.arguments_from(self.config.arguments, architecture=architecture)
        self.network = students.build(arguments, len(self.config.labels))

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes in the order of the logits."""
        return self.config.labels

    def forward(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Answer a padded batch.

        Args:
            waveform: float32 at 16 kHz, shape (batch, samples)
            lengths: int64, samples per clip, shape (batch,)

        Returns:
            `logits`, shape (batch, classes), `embedding`, and what else the student has
        """
        return cast(dict[str, Tensor], self.network(waveform, lengths))

    def _save_pretrained(self, save_directory: Path) -> None:
        students.save_weights(self.network, save_directory / WEIGHTS)

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        students.load_weights(model.network, Path(model_file))
        return model.to(map_location).eval()

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise BundleError(f"{model_file}: a pickle, which sercli never loads; the repository has no {WEIGHTS}")
